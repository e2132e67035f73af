"""When a curve changed: an estimate with an interval, or a censored time with a reason."""

import math
from dataclasses import asdict, dataclass
from typing import Literal

Censoring = Literal["none", "left", "interval", "right"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """One transition of one curve, in units of training steps.

    ``found`` says whether there is evidence for a transition; ``p`` is the probability, under the
    fitted curve without one, of evidence at least as strong (NaN where no test was made).

    * ``censored="none"``: ``step`` is the midpoint, ``[low, high]`` its interval, ``onset`` and ``end``
      the steps at which 10% and 90% of ``height`` are reached, ``width = end - onset``.
    * ``"interval"``: the change happened between two neighbouring records, ``low`` and ``high``;
      ``step`` lies between them and says no more than they do.
    * ``"left"``: it had happened by the first record; ``high`` is that record, ``low`` is 0.
    * ``"right"``: it had not happened by the last record; ``low`` is that record, ``high`` is infinite,
      ``step`` is NaN.

    ``height`` is the size of the change in the unit of the curve (log units for kind ``positive``),
    negative for a fall, NaN where nothing was found. ``reason`` is one sentence for a reader.
    """

    found: bool
    step: float
    low: float
    high: float
    width: float
    onset: float
    end: float
    height: float
    censored: Censoring
    reason: str
    p: float

    def as_row(self) -> dict[str, object]:
        """Its fields as one table row; NaN and infinities as None, since a table has null for them."""
        row = asdict(self)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
