"""Event times of several runs: points, intervals, or censored; and which of two is known to be the later."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike, NDArray

from epochal.core.values.errors import UserError

MIN_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class Times:
    """One event in each of S runs: after ``low``, at or before ``high`` (steps); equal where it is a point.

    Infinite ``high`` is right-censored. A time given as NaN has both ends at infinity.
    """

    low: Float[np.ndarray, "S"]
    high: Float[np.ndarray, "S"]

    def __len__(self) -> int:
        return len(self.low)

    @property
    def happened(self) -> Bool[np.ndarray, "S"]:
        return np.asarray(np.isfinite(self.high))

    @property
    def middle(self) -> Float[np.ndarray, "S"]:
        """The point, or the middle of the interval; infinite where right-censored."""
        return np.where(self.happened, (self.low + self.high) / 2, np.inf)

    @property
    def width(self) -> Float[np.ndarray, "S"]:
        """Of the interval in steps; 0 for a point and where right-censored."""
        width = np.zeros(len(self))
        np.subtract(self.high, self.low, out=width, where=self.happened)
        return width


def as_times(given: ArrayLike | Times, name: str) -> Times:
    """Times from ``[S]`` points (NaN: right-censored) or ``[S, 2]`` intervals (end infinite or NaN: so)."""
    if isinstance(given, Times):
        return given
    try:
        array = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{name} must be numbers, one per run, NaN where the event did not happen") from None
    if array.ndim == 1:
        array = np.stack([array, array], axis=1)
    elif array.ndim != 2 or array.shape[1] != 2:
        raise UserError(
            f"{name} has shape {list(array.shape)}: give [S] times, one per run, or [S, 2] of (low, high)"
        )
    if np.isneginf(array).any():
        raise UserError(f"{name} holds -inf: give the first record's step as high and 0 as low instead")
    low, high = array[:, 0].copy(), array[:, 1].copy()
    high[np.isnan(high)] = np.inf
    low[np.isnan(low)] = np.inf
    if (low > high).any():
        run = int(np.argmax(low > high))
        raise UserError(f"{name}: run {run} has low={low[run]:g} above high={high[run]:g}; give (low, high)")
    return Times(low=low, high=high)


def as_pair(times_a: ArrayLike | Times, times_b: ArrayLike | Times) -> tuple[Times, Times]:
    """Two events in the same runs, checked: as many of each, enough of them, neither censored throughout."""
    a, b = as_times(times_a, "times_a"), as_times(times_b, "times_b")
    check_same_runs(a, b, "times_a", "times_b")
    if len(a) < MIN_RUNS:
        raise UserError(f"{len(a)} runs are too few: at least {MIN_RUNS}, better 10, one time per run")
    for times, name in ((a, "times_a"), (b, "times_b")):
        if not times.happened.any():
            raise UserError(
                f"{name}: the event happened in none of {len(times)} runs, so there is nothing to compare"
            )
    return a, b


def check_same_runs(a: Times, b: Times, name_a: str, name_b: str) -> None:
    if len(a) != len(b):
        raise UserError(
            f"{name_a} has {len(a)} runs and {name_b} has {len(b)}: the same position must be the same run"
        )


def order_signs(times: Times) -> Int[np.ndarray, "S S"]:
    """1 where run i (row) is known to be later than run j, -1 where earlier, 0 where tied or not known.

    Right-censored is later than whatever had happened by then; two right-censored runs are tied (at
    infinity).
    """
    low, high = times.low, times.high
    apart = (low[:, None] > low) | (high[:, None] > high)
    later = (low[:, None] >= high) & np.isfinite(high) & apart
    return np.asarray(later.astype(np.int8) - later.T.astype(np.int8))


def as_strata(strata: ArrayLike | None, num_runs: int) -> NDArray[np.int64]:
    """A number from 0 for each run's stratum; strata are runs with identical hyperparameters."""
    if strata is None:
        return np.zeros(num_runs, dtype=np.int64)
    given = np.asarray(strata)
    if given.shape != (num_runs,):
        raise UserError(f"strata has shape {list(given.shape)}: give one label for each of {num_runs} runs")
    numbers = np.unique(given, return_inverse=True)[1].astype(np.int64)
    if np.bincount(numbers).max() < 2:
        raise UserError(
            "strata: every run is alone in its stratum, so no pairing can be permuted; leave strata out or "
            "add runs with the same hyperparameters"
        )
    return numbers
