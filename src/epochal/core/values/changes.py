"""All that happened to one curve: its shape, the changes that last, and the excursions that return."""

from dataclasses import dataclass
from typing import Literal, get_args

from epochal.core.values.event import Event

Shape = Literal["none", "step", "ramp", "drift", "spike", "oscillation"]
SHAPES: tuple[str, ...] = get_args(Shape)


@dataclass(frozen=True, kw_only=True)
class Excursion:
    """A stay at another level that returns.

    ``first`` and ``last`` are the steps of its first and last record, ``height`` how far it goes at most, in
    the unit of the curve (log units for kind ``positive``), negative for a dip.
    """

    first: float
    last: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Every transition of a curve in order of time, every excursion, and one word for the whole.

    * ``events``: changes that last, up to the next one; empty where there is none.
    * ``excursions``: what left the curve's level and returned within a tenth of the records.
    * ``period``: of an oscillation, in steps; NaN where none was found, or where it has no period.
    * ``reason``: one sentence for a reader.
    """

    shape: Shape
    events: tuple[Event, ...]
    excursions: tuple[Excursion, ...]
    period: float
    reason: str
