"""A bar for whatever takes longer than two seconds; quicker work stays silent."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PATIENCE_SECONDS = 2.0


@contextmanager
def waiting(
    console: "Console | None" = None, *, patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[Callable[[str, int, int], None]]:
    """Gives a function that is told what is done, how much of it, and of how much (0: not known).

    The bar stands on standard error, and on terminals only: a file has no use for it.
    """
    from rich.console import Console
    from rich.progress import Progress, TimeElapsedColumn

    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield lambda _what, _done, _of: None
        return
    bar = Progress(*Progress.get_default_columns()[:3], TimeElapsedColumn(), console=console, transient=True)
    task = bar.add_task("reading", total=None)
    late = threading.Timer(patience_seconds, bar.start)
    late.daemon = True
    late.start()
    try:
        yield lambda what, done, of: bar.update(task, description=what, completed=done, total=of or None)
    finally:
        late.cancel()
        late.join()
        bar.stop()
