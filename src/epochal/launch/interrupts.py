"""Ctrl-C and SIGTERM: the first asks for a clean end, the second ends at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Training was stopped on request; the run can be resumed by the same command."""

    def __init__(self, path: Path, step: int, max_steps: int, command: str) -> None:
        self.path, self.step, self.max_steps = path, step, max_steps
        super().__init__(
            f"stopped at step {step} of {max_steps}, stored in {path}; to resume, give {command}"
        )


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block SIGINT and SIGTERM raise KeyboardInterrupt: what has to be said at the end is said.

    Outside the main thread no handler can be set, and signals keep their usual meaning.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Requests:
    """Whether the user, or the system, has asked to stop."""

    is_stop = False


@contextmanager
def stop_requests() -> Iterator[Requests]:
    """Within the block a first SIGINT or SIGTERM only sets ``is_stop``; a second raises at once.

    Outside the main thread no handler can be set, and signals keep their usual meaning.
    """
    requests = Requests()
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return

    def ask(_number: int, _frame: FrameType | None) -> None:
        if requests.is_stop:
            raise KeyboardInterrupt
        requests.is_stop = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
