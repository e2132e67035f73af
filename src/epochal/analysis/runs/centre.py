"""The centre of a few lags, with tests and an interval that say the same thing.

Each function returns a ``Centre``: p-values against any centre, and the interval of those not rejected.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.stats import t as student

from epochal.core.values.errors import UserError

MOST_FLIPPED = 20  # 2^20 sums of lags fill 8 MiB


@dataclass(frozen=True, kw_only=True)
class MeanByT:
    """A mean of nearly normal lags."""

    estimate: float
    standard_error: float
    num_runs: int

    @property
    def smallest_p(self) -> float:
        """A t grows without bound as lags grow alike."""
        return 0.0

    def p_below(self, value: float) -> float:
        """Of the claim that the centre is below ``value``."""
        return float(student.cdf(self._t(value), self.num_runs - 1))

    def p_above(self, value: float) -> float:
        return float(student.sf(self._t(value), self.num_runs - 1))

    def interval(self, alpha: float) -> tuple[float, float]:
        """What neither claim at level ``alpha`` rules out: coverage 1 - 2 alpha."""
        half = float(student.isf(alpha, self.num_runs - 1)) * self.standard_error
        return self.estimate - half, self.estimate + half

    def _t(self, value: float) -> float:
        return (self.estimate - value) / self.standard_error


@dataclass(frozen=True, kw_only=True)
class CentreByAverages:
    """A centre of symmetric lags by sign flips: a value is ruled out when too few averages lie beyond it.

    ``averages`` ascending; ``tail[k]`` is the null probability that at most k of them lie beyond the centre.
    """

    estimate: float
    averages: Float[np.ndarray, "N"]
    tail: Float[np.ndarray, "N+1"]

    @property
    def smallest_p(self) -> float:
        return float(self.tail[0])

    def p_below(self, value: float) -> float:
        """Of the claim that the centre is below ``value``; an average equal to it counts against."""
        first = np.searchsorted(self.averages, value - self._rounding(value), side="left")
        return float(self.tail[len(self.averages) - first])

    def p_above(self, value: float) -> float:
        last = np.searchsorted(self.averages, value + self._rounding(value), side="right")
        return float(self.tail[last])

    def interval(self, alpha: float) -> tuple[float, float]:
        allowed = int(np.searchsorted(self.tail, alpha * (1 + 1e-9), side="right")) - 1
        if allowed < 0:
            return -math.inf, math.inf
        return float(self.averages[allowed]), float(self.averages[-1 - allowed])

    def _rounding(self, value: float) -> float:
        finite = self.averages[np.isfinite(self.averages)]
        return 1e-12 * max(abs(value), float(np.abs(finite).max(initial=0.0)))


Centre = MeanByT | CentreByAverages


def mean_by_t(lags: Float[np.ndarray, "S"], least_sd: float = 0.0) -> MeanByT:
    """Student's: exact for normal lags. ``least_sd``: what the record schedule alone spreads them by."""
    sd = max(float(np.std(lags, ddof=1)), least_sd)
    if sd == 0:
        raise UserError(
            f"all {len(lags)} lags are {lags[0]:g}: equal lags are known up to the record schedule only; "
            "give record_interval in steps, or times as (low, high)"
        )
    return MeanByT(estimate=float(lags.mean()), standard_error=sd / math.sqrt(len(lags)), num_runs=len(lags))


def mean_by_flips(lags: Float[np.ndarray, "S"]) -> CentreByAverages:
    """All 2^S sign flips: exact for lags symmetric about their centre, of whatever law.

    Flipping a subset brings the sum no further down exactly if the mean of the subset is at least the value
    tested; so the means of all non-empty subsets cut the line into 2^S equally probable pieces (Hartigan
    1969, JASA 64, 1303-1317).
    """
    if len(lags) > MOST_FLIPPED:
        raise UserError(
            f"{len(lags)} runs have too many sign flips to list (at most {MOST_FLIPPED}): use test='t'"
        )
    sums, counts = np.zeros(1), np.zeros(1)
    for lag in lags:
        sums = np.concatenate([sums, sums + lag])
        counts = np.concatenate([counts, counts + 1])
    averages = np.sort(sums[1:] / counts[1:])
    tail = np.arange(1, 2 ** len(lags) + 1) / 2 ** len(lags)
    return CentreByAverages(estimate=float(lags.mean()), averages=averages, tail=tail)


def median_by_ranks(lags: Float[np.ndarray, "S"]) -> CentreByAverages:
    """Wilcoxon's signed ranks: sign flips of ranks, for lags of which some are infinite.

    Its averages are those of all pairs of lags, each with itself too; the estimate is their median (Hodges &
    Lehmann 1963, Ann. Math. Stat. 34, 598-611).
    """
    i, j = np.triu_indices(len(lags))
    with np.errstate(invalid="ignore"):
        averages = (lags[i] + lags[j]) / 2
    # One lag at each infinity: the pair says nothing about the middle. Either way would favour a side.
    finite = lags[np.isfinite(lags)]
    averages = np.where(np.isnan(averages), np.median(finite) if len(finite) else 0.0, averages)
    averages = np.sort(averages)
    middle = averages[[(len(averages) - 1) // 2, len(averages) // 2]]
    estimate = float(middle.mean()) if np.isfinite(middle).all() else float(middle[0])
    return CentreByAverages(estimate=estimate, averages=averages, tail=rank_sum_tail(len(lags)))


def rank_sum_tail(num_runs: int) -> NDArray[np.float64]:
    """P(sum of the ranks with a positive sign <= k), k = 0 .. S (S + 1) / 2, each sign by a fair coin."""
    mass = np.ones(1)
    for rank in range(1, num_runs + 1):
        longer = np.zeros(len(mass) + rank)
        longer[: len(mass)] += mass / 2
        longer[rank:] += mass / 2
        mass = longer
    return np.minimum(np.cumsum(mass), 1.0)


def median_by_signs(lags: Float[np.ndarray, "S"]) -> CentreByAverages:
    """The sign test: exact for a median whatever the law of the lags; infinite lags are as good as any."""
    ordered = np.sort(lags)
    middle = ordered[[(len(lags) - 1) // 2, len(lags) // 2]]
    estimate = float(middle.mean()) if np.isfinite(middle).all() else float(middle[0])
    counts = np.ones(1)
    for _ in range(len(lags)):
        counts = np.convolve(counts, [0.5, 0.5])
    return CentreByAverages(estimate=estimate, averages=ordered, tail=np.minimum(np.cumsum(counts), 1.0))
