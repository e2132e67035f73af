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
WIDE = 15.0  # record intervals
FINE_WIDTH_RATIO = 1.5
MIN_RECORDS_PER_LEVEL = 3
# What takes more than half of the records is a drift, not a transition.
MAX_WIDTH_FRACTION = 0.5
# Neighbours in the grid differ by up to 0.2 of the height.
SAME = 0.05


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

    Widths are 0 (a step in every record interval), 3, 7.5, 19 and from there on finer, up to half of the
    records; midpoints lie 0.4 of a width apart, 0.2 of wide ones: what two drifts can nearly draw must be
    drawn well to be told from them. At least three records lie on either side of a midpoint,
    and 10% and 90% lie within the records: otherwise one of the two levels is not seen. A rise that both
    axes draw alike stands there once, as a linear one.
    """
    steps = np.frombuffer(schedule, dtype=np.float64)
    num_records = len(steps)
    first, last = MIN_RECORDS_PER_LEVEL - 0.5, num_records - MIN_RECORDS_PER_LEVEL - 0.5
    axis: list[Array] = []
    midpoint: list[Array] = []
    width: list[Array] = []
    bases: list[Array] = []
    widths, w = [0.0], 3.0
    while w <= MAX_WIDTH_FRACTION * num_records:
        widths.append(w)
        w *= WIDTH_RATIO if w < WIDE else FINE_WIDTH_RATIO
    index = np.arange(num_records, dtype=np.float64)
    for w in widths:
        margin = max(first, w / 2)
        high = min(last, num_records - 1 - w / 2)
        places = np.arange(margin, high + 1e-9, max(w / (2.5 if w < WIDE else 5.0), 1.0))
        linear: Array | None = None
        for number, name in enumerate(AXES):
            x = on_axis(steps, name)
            m = np.interp(places, index, x)
            # As wide in x as w record intervals around the midpoint are.
            reach = np.interp(places + w / 2, index, x) - np.interp(places - w / 2, index, x)
            if not w:
                reach = np.zeros(len(m))
            shape = rise(x, m, reach)
            new = np.ones(len(m), dtype=bool)
            if linear is not None:
                new = np.abs(shape - linear).max(axis=1, initial=0) > SAME if w else ~new
            linear = shape
            axis.append(np.full(int(new.sum()), number))
            midpoint.append(m[new])
            width.append(reach[new])
            bases.append(shape[new])
    return Grid(
        axis=np.concatenate(axis).astype(np.int64),
        midpoint=np.concatenate(midpoint),
        width=np.concatenate(width),
        bases=np.concatenate(bases),
    )
