"""What a notebook shows while a run trains: the terminal's display in one output that is replaced."""

import importlib
import io
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from epochal.launch.watching.listener import Start
from epochal.launch.watching.live import LiveDisplay

REFRESH_SECONDS = 0.25
WIDTH = 100
"""Characters of a line."""


class NotebookDisplay:
    """A ``Listener`` for notebooks; ``show`` displays and gives a handle.

    Needs no widgets: whatever front end there is, it replaces the output with text in HTML.
    """

    def __init__(self, show: Callable[[Any], Any]) -> None:
        self._said = io.StringIO()
        self._inner = LiveDisplay(_plain_console(self._said), is_live=True)
        self._show = show
        self._handle: Any = None
        self._shown_at = 0.0

    def started(self, start: Start) -> None:
        self._inner.started(start)
        self._draw()

    def updated(self, pack: int, step: int) -> None:
        self._inner.updated(pack, step)
        if time.monotonic() - self._shown_at > REFRESH_SECONDS:
            self._draw()

    def recorded(self, members: Sequence[int], step: int, record: Mapping[str, NDArray[np.float64]]) -> None:
        self._inner.recorded(members, step, record)

    def noted(self, text: str) -> None:
        self._inner.noted(text)

    def phase(self, name: str, done: int, of: int) -> None:
        self._inner.phase(name, done, of)
        self._draw()

    def ended(self) -> None:
        self._inner.ended()
        if self._handle is not None:
            self._draw(is_over=True)

    def _draw(self, *, is_over: bool = False) -> None:
        page = _Html(self._said.getvalue() + self._drawn(is_over))
        if self._handle is None:
            self._handle = self._show(page)
        else:
            self._handle.update(page)
        self._shown_at = time.monotonic()

    def _drawn(self, is_over: bool) -> str:
        """What a terminal would show below the lines; without the bar once there is nothing to wait for."""
        console = _plain_console(io.StringIO())
        with console.capture() as capture:
            console.print(self._inner.members() if is_over else self._inner)
        return capture.get()


class _Html:
    """Text as a notebook shows it, with the spaces of a terminal; plain where HTML is not shown."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _repr_html_(self) -> str:
        from html import escape

        return f'<pre style="line-height: 1.25; white-space: pre">{escape(self._text)}</pre>'

    def __repr__(self) -> str:
        return self._text


def _plain_console(file: io.StringIO) -> Console:
    """Text only: a kernel's environment asks for colours, which HTML would show as escape codes."""
    return Console(file=file, width=WIDTH, force_jupyter=False, force_terminal=False, color_system=None)


def notebook_show() -> Callable[[Any], Any] | None:
    """How this process displays, if it is a notebook's kernel; None in a terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    display: Any = importlib.import_module("IPython.display").display
    return lambda page: display(page, display_id=True)
