"""What became of learning: memorised, generalised, when, how much later, and from which level."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from epochal.core.values.event import Event

Learning = Literal["grokked", "learnt at once", "memorised only", "learnt nothing", "lost again", "diverged"]
LEARNINGS: tuple[str, ...] = get_args(Learning)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95% interval; NaN where there is none, ``high`` infinite for a lower limit."""

    value: float
    low: float
    high: float

    def contains(self, value: float) -> bool:
        """Whether the interval does; False where there is no interval."""
        return self.low <= value <= self.high


NO_ESTIMATE = Estimate(value=math.nan, low=math.nan, high=math.nan)


@dataclass(frozen=True, kw_only=True)
class Grokking:
    """Memorisation and generalisation of one member as one event.

    ``delay`` (steps) and ``ratio`` go from the one to the other; where generalisation did not come both
    have a lower limit only. ``plateau`` is the accuracy of validation between them, over ``plateau_records``
    records from step ``plateau_from`` to ``plateau_to``. ``loss`` is the passage back below the threshold of
    a member that lost it again, else None. ``reason`` is one sentence for a reader.
    """

    outcome: Learning
    reason: str
    memorisation: Event
    generalisation: Event
    loss: Event | None
    delay: Estimate
    ratio: Estimate
    plateau: Estimate
    plateau_from: float
    plateau_to: float
    plateau_records: int
