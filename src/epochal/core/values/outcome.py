"""How a member's training ended."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["running", "finished", "stopped_early", "diverged"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``step`` is the last completed update; for a diverged member, the last one with finite parameters."""

    status: Status
    step: int
    reason: str = ""
