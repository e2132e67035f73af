"""Who watches a run: told what happens, with no say in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Start:
    """A run begins or goes on: its place, its members' labels, and updates in all and done already.

    ``steps_done`` is the step of each pack where the watcher comes in late; else empty.
    """

    path: Path
    labels: Sequence[str]
    num_packs: int
    updates: int
    updates_done: int
    max_steps: int
    steps_done: Mapping[int, int] = field(default_factory=dict)


class Listener(Protocol):
    def started(self, start: Start) -> None: ...

    def updated(self, pack: int, step: int) -> None:
        """After an update of a pack, or after several: from outside not every one is seen."""
        ...

    def recorded(self, members: Sequence[int], step: int, record: Mapping[str, NDArray[np.float64]]) -> None:
        """After every record: column to values, in the order of ``members``."""
        ...

    def noted(self, text: str) -> None:
        """Something the user should know, in one line."""
        ...

    def phase(self, name: str, done: int, of: int) -> None:
        """Work after training: what it is, and how much of it is done."""
        ...

    def ended(self) -> None: ...


class Silent:
    """Hears everything, shows nothing."""

    def started(self, start: Start) -> None: ...

    def updated(self, pack: int, step: int) -> None: ...

    def recorded(
        self, members: Sequence[int], step: int, record: Mapping[str, NDArray[np.float64]]
    ) -> None: ...

    def noted(self, text: str) -> None: ...

    def phase(self, name: str, done: int, of: int) -> None: ...

    def ended(self) -> None: ...
