"""The shape of a transition: a logistic rise on the step axis or on its logarithm, and a grid of them."""

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]
Axis = Literal["linear", "log"]
AXES: tuple[Axis, Axis] = ("linear", "log")

LOGIT_SPAN = 2 * math.log(9)  # from 10% to 90% of a logistic, in units of its scale
WIDTH_RATIO = 2.5
MIN_RECORDS_PER_LEVEL = 3
# What takes more than half of the records is a drift, not a transition.
MAX_WIDTH_FRACTION = 0.5


def on_axis(steps: Float[Array, "..."], axis: Axis) -> Float[Array, "..."]:
    """Step s as s (linear) or log(1 + s), which keeps step 0."""
    return np.log1p(steps) if axis == "log" else np.asarray(steps, dtype=np.float64)


def to_step(x: float, axis: Axis) -> float:
    """The inverse of ``on_axis``."""
    return math.expm1(x) if axis == "log" else float(x)


def rise(
    x: Float[Array, " T"], midpoint: Float[Array, " K"], width: Float[Array, " K"]
) -> Float[Array, "K T"]:
    """Logistic rises from 0 to 1, each with its midpoint and its width.

    g(x) = 1 / (1 + exp(-2 log 9 (x - midpoint) / width))

    ``width`` is the distance between 10% and 90%, in the unit of ``x``; width 0 is a step.
    """
    with np.errstate(divide="ignore"):
        slope = np.minimum(LOGIT_SPAN / np.asarray(width), 1e300)
    with np.errstate(over="ignore"):
        return np.asarray(expit((x - midpoint[:, None]) * slope[:, None]))


def position(x: Float[Array, " T"], at: Float[Array, "..."]) -> Float[Array, "..."]:
    """Where ``at`` lies among the records, in record intervals from the first one."""
    return np.interp(at, x, np.arange(len(x), dtype=np.float64))


def spacing(x: Float[Array, " T"], at: Float[Array, "..."]) -> Float[Array, "..."]:
    """The record interval that ``at`` lies in, in the unit of ``x``."""
    gaps = np.diff(x)
    return gaps[np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(gaps) - 1)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Logistic rises over midpoints, widths and both axes, for one record schedule."""

    axis: NDArray[np.int64]  # [K], index into AXES
    midpoint: Float[Array, " K"]  # in the unit of the axis
    width: Float[Array, " K"]
    bases: Float[Array, "K T"]


@functools.lru_cache(maxsize=16)
def grid(schedule: bytes) -> Grid:
    """The grid for the steps in ``schedule`` (float64 bytes, so that it can be remembered).

    Widths are 0 (a step in every record interval) and 3, 7.5, 19, ... record intervals, up to half of the
    records; midpoints lie 0.4 of a width apart. At least three records lie on either side of a midpoint,
    and 10% and 90% lie within the records: otherwise one of the two levels is not seen.
    """
    steps = np.frombuffer(schedule, dtype=np.float64)
    num_records = len(steps)
    first, last = MIN_RECORDS_PER_LEVEL - 0.5, num_records - MIN_RECORDS_PER_LEVEL - 0.5
    axis: list[Array] = []
    midpoint: list[Array] = []
    width: list[Array] = []
    widths = [0.0]
    while (w := 3 * WIDTH_RATIO ** (len(widths) - 1)) <= MAX_WIDTH_FRACTION * num_records:
        widths.append(w)
    for w in widths:
        margin = max(first, w / 2)
        high = min(last, num_records - 1 - w / 2)
        places = np.arange(margin, high + 1e-9, max(w / 2.5, 1.0))
        for number, name in enumerate(AXES):
            if w == 0 and number:
                continue  # a step is the same on both axes
            x = on_axis(steps, name)
            index = np.arange(num_records, dtype=np.float64)
            m = np.interp(places, index, x)
            # As wide in x as w record intervals around the midpoint are.
            reach = np.interp(places + w / 2, index, x) - np.interp(places - w / 2, index, x)
            axis.append(np.full(len(m), number))
            midpoint.append(m)
            width.append(reach if w else np.zeros(len(m)))
    numbers = np.concatenate(axis).astype(np.int64)
    m, w_x = np.concatenate(midpoint), np.concatenate(width)
    bases = np.empty((len(m), num_records))
    for number, name in enumerate(AXES):
        mine = numbers == number
        bases[mine] = rise(on_axis(steps, name), m[mine], w_x[mine])
    return Grid(axis=numbers, midpoint=m, width=w_x, bases=bases)
