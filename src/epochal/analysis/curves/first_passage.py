"""The first record at which a curve has passed a threshold and stays there."""

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from epochal.analysis.curves.curve import as_curve
from epochal.core.values.errors import UserError
from epochal.core.values.event import Censoring, Event


def first_passage(
    steps: ArrayLike,
    values: ArrayLike,
    threshold: float,
    *,
    sustained: int = 1,
    direction: Literal["rise", "fall"] = "rise",
) -> Event:
    """When a curve reached a threshold for good: known up to the record schedule, without a noise model.

    T* = first t_i with v_i, ..., v_(i + sustained - 1) >= threshold   (<= for direction "fall")

    ``steps`` in completed updates, ``threshold`` in the unit of ``values``. The event is interval-censored:
    the curve was not there at ``low`` (the record before) and was at ``high``; ``step`` is the middle of the
    two and says no more. It is left-censored where the first record already passes (``low`` = 0) and
    right-censored where no record does (``low`` = the last record; no passage is the value under no effect).
    ``height`` is the change from the first record to the passing one. ``width``, ``onset``, ``end`` and ``p``
    are NaN: a passage has no extent, and nothing is tested.

    Values that are NaN or infinite were not measured and are left out, with two consequences: they neither
    make nor break a sustained stay, and an interval reaches over them. A passage within fewer than
    ``sustained`` records of the end is not confirmed; then the event is right-censored at the record before.

    Raises:
        UserError: for malformed curves, sustained < 1, an unknown direction, a threshold that is not finite.

    Source: interval censoring as in Turnbull 1976, J. R. Stat. Soc. B 38, 290-295.
    """
    if not is_count(sustained):
        raise UserError(f"sustained={sustained!r} must be a whole number of records, at least 1")
    if direction not in ("rise", "fall"):
        raise UserError(f"direction={direction!r} is not known: give 'rise' or 'fall'")
    if not math.isfinite(threshold):
        raise UserError(f"threshold={threshold} must be a finite number in the unit of the values")
    curve = as_curve(steps, values, "real")
    passed = curve.values >= threshold if direction == "rise" else curve.values <= threshold
    what = f"{'at or above' if direction == 'rise' else 'at or below'} {threshold:g}"
    if sustained > 1:
        what += f" for {sustained} records"
    # stays[i]: how many records in a row pass from record i on.
    stays = np.zeros(len(curve) + 1, dtype=np.int64)
    for i in range(len(curve) - 1, -1, -1):
        stays[i] = stays[i + 1] + 1 if passed[i] else 0
    confirmed = np.flatnonzero(stays[:-1] >= sustained)
    if len(confirmed):
        at = int(confirmed[0])
        high = float(curve.steps[at])
        height = float(curve.values[at] - curve.values[0])
        if at == 0:
            return passage(0.0, high, height, "left", f"already {what} at the first record, step {high:g}")
        low = float(curve.steps[at - 1])
        return passage(
            low, high, height, "interval", f"{what} from step {high:g} on, not yet at step {low:g}"
        )
    last = float(curve.steps[-1])
    if not passed[-1]:
        return passage(
            last, math.inf, math.nan, "right", f"never {what} up to the last record, step {last:g}"
        )
    # The first of the records that pass up to the end: too few of them to confirm a stay.
    tail = int(np.argmax(stays[:-1] == np.arange(len(curve), 0, -1)))
    low = float(curve.steps[tail - 1]) if tail else 0.0
    return passage(
        low, math.inf, math.nan, "right", f"not confirmed {what}: the records end at step {last:g}"
    )


def is_count(given: object) -> bool:
    return isinstance(given, int | np.integer) and int(given) >= 1


def passage(low: float, high: float, height: float, censored: Censoring, reason: str) -> Event:
    found = math.isfinite(high)
    return Event(
        found=found,
        step=(low + high) / 2 if found else math.nan,
        low=low,
        high=high,
        width=math.nan,
        onset=math.nan,
        end=math.nan,
        height=height,
        censored=censored,
        reason=reason,
        p=math.nan,
    )
