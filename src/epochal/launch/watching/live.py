"""What a terminal shows while a run trains: a bar, a sparkline per member, a line per transition."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from epochal.launch.transitions import THRESHOLD
from epochal.launch.watching.listener import Start

BLOCKS = "▁▂▃▄▅▆▇█"
CELLS = 32
MOST_SHOWN = 12
"""Members with a sparkline of their own; a larger population is summed up in one line."""

WATCHED = {"train_accuracy": "memorised", "val_accuracy": "generalised"}


class LiveDisplay:
    """A ``Listener`` for people. Without a terminal it prints plain lines."""

    def __init__(self, console: Console, *, is_live: bool = False) -> None:
        """``is_live``: somebody else draws it again and again, as a terminal would."""
        self._console = console
        self._is_live = is_live or console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            _Speed(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            expand=True,
        )
        self._live: Live | None = None
        self._start: Start | None = None
        self._reached: dict[str, dict[int, int]] = {column: {} for column in WATCHED}
        self._cells: dict[int, list[float]] = {}
        self._latest: dict[int, float] = {}
        self._bar = self._progress.add_task("training", total=1, visible=False)
        self._quarter = 0
        self._steps: dict[int, int] = {}

    def started(self, start: Start) -> None:
        self._start = start
        self._steps = dict(start.steps_done)
        self._cells = {member: [float("nan")] * CELLS for member in range(min(len(start.labels), MOST_SHOWN))}
        self._progress.reset(self._bar, total=start.updates, completed=start.updates_done, visible=True)
        packs = f" in {start.num_packs} packs" if start.num_packs > 1 else ""
        self._console.print(
            f"[bold]{len(start.labels)} member{'s' * (len(start.labels) > 1)}[/bold]{packs}, "
            f"{start.max_steps} steps, into {start.path}",
            highlight=False,
            soft_wrap=True,
        )
        if self._console.is_terminal:
            self._live = Live(self, console=self._console, refresh_per_second=8, transient=True)
            self._live.start()

    def updated(self, pack: int, step: int) -> None:
        if step == 0:
            return
        self._progress.advance(self._bar, step - self._steps.get(pack, step - 1))
        self._steps[pack] = step
        if not self._is_live and self._start is not None:
            self._print_quarters()

    def recorded(self, members: Sequence[int], step: int, record: Mapping[str, NDArray[np.float64]]) -> None:
        assert self._start is not None
        for column, verb in WATCHED.items():
            reached = self._reached[column]
            for member, value in zip(members, record.get(column, ()), strict=False):
                if value >= THRESHOLD and member not in reached:
                    reached[member] = step
                    if len(self._start.labels) <= MOST_SHOWN and step > 0:
                        self._say(
                            f"{self._start.labels[member]}: {verb} by step {step} ({column} {value:.3f})"
                        )
        cell = min(CELLS - 1, step * CELLS // self._start.max_steps)
        for member, value in zip(members, record.get("val_accuracy", ()), strict=False):
            self._latest[member] = float(value)
            if member in self._cells:
                self._cells[member][cell] = float(value)

    def noted(self, text: str) -> None:
        self._say(text)

    def phase(self, name: str, done: int, of: int) -> None:
        self._progress.update(self._bar, description=name, total=of, completed=done)

    def ended(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __rich__(self) -> RenderableType:
        return Group(self.members(), self._progress)

    def members(self) -> RenderableType:
        """A line per member, or one that sums up many."""
        if self._start is None:
            return Text()
        if len(self._start.labels) > MOST_SHOWN:
            return Text(self._summary())
        table = Table.grid(padding=(0, 2))
        for member, cells in self._cells.items():
            latest = self._latest.get(member, float("nan"))
            shown = "" if np.isnan(latest) else f"validation accuracy {latest:.3f}"
            table.add_row(self._start.labels[member], sparkline(cells), shown)
        return table

    def _summary(self) -> str:
        assert self._start is not None
        total = len(self._start.labels)
        return ", ".join(
            f"{len(self._reached[column])} of {total} {verb}" for column, verb in WATCHED.items()
        )

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _print_quarters(self) -> None:
        task = self._progress.tasks[0]
        quarter = int(4 * task.completed / (task.total or 1))
        if quarter > self._quarter:
            self._quarter = quarter
            assert self._start is not None
            self._say(f"{25 * quarter}% of the updates done; {self._summary()}")


class _Speed(ProgressColumn):
    """Updates per second of a whole pack."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} steps/s" if task.speed else "", style="progress.data.speed")


def sparkline(values: Sequence[float]) -> str:
    """Fractions in [0, 1] as block characters; gaps repeat the value before them, unknown ones are blank."""
    shown, last = [], float("nan")
    for place, value in enumerate(values):
        is_gap = np.isnan(value) and any(not np.isnan(later) for later in values[place:])
        last = last if np.isnan(value) else value
        blank = np.isnan(last) or (np.isnan(value) and not is_gap)
        shown.append(" " if blank else BLOCKS[min(len(BLOCKS) - 1, int(last * len(BLOCKS)))])
    return "".join(shown)
