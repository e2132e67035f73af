"""A claim about an algorithm: one statistic per seed, because samples of one network share its feedback."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy.stats import nct
from scipy.stats import t as student

from epochal.analysis.runs.centre import mean_by_flips, mean_by_t
from epochal.analysis.runs.coupling_power import runs_needed
from epochal.analysis.runs.levels import check_level
from epochal.analysis.runs.paired_times import MIN_RUNS
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding, Verdict

Array = NDArray[np.float64]


def across_seeds(
    statistics: ArrayLike,
    seeds: Sequence[int],
    *,
    least: float = 0.0,
    test: Literal["sign-flip", "t"] = "sign-flip",
    alpha: float = 0.05,
    power: float | None = 0.9,
    name: str = "credit",
    unit: str = "cosine",
    exploratory: bool = True,
) -> Finding:
    """Whether credit is aligned with the gradient on average over seeds, two-sided.

    * ``statistics`` ``[S]``: the mean cosine (or z, then say so in ``unit``) of each seed's network, one
      number per seed.
    * ``seeds``: which seeds these are, each once. Samples, layers or checkpoints of a network are not seeds.
    * ``least``: the mean alignment worth the name, fixed beforehand. ``refuted`` where the interval ends
      below it; with 0, where it lies below 0.
    * ``test``: ``"sign-flip"``, exact because T is symmetric about 0 for each seed when its feedback is
      independent of the network (B and -B are alike), up to 20 seeds; two-sided it needs 6 for 5%. ``"t"``
      for normal statistics.

    The estimate is the mean over seeds with its 95% interval, from the test. Under no effect the
    mean is 0 and p uniform or larger.

    Raises:
        UserError: for anything but one finite number per seed, a seed given twice, fewer than three.
    """
    check_level(alpha, power)
    if test not in ("sign-flip", "t"):
        raise UserError(f"test={test!r} is not known: give 'sign-flip' or 't'")
    if not (math.isfinite(least) and least >= 0):
        raise UserError(f"least={least:g} must be 0 or a positive {unit}, fixed before looking")
    values = one_per_seed(statistics, seeds)
    flips = test == "sign-flip"
    centre = mean_by_flips(values) if flips else mean_by_t(values)
    p = min(1.0, 2 * min(centre.p_above(0.0), centre.p_below(0.0)))
    low, high = centre.interval(0.025)
    verdict: Verdict = "undecided"
    if high < least:
        verdict = "refuted"
    elif p <= alpha and centre.estimate > 0:
        verdict = "supported"
    total = 2 ** len(values)
    return Finding(
        claim=f"{name} is aligned with the gradient across seeds",
        test=f"all {total:,} sign flips" if flips else "t",
        estimate=centre.estimate,
        unit=unit,
        low=low,
        high=high,
        num_runs=len(values),
        null="alignment as often against the gradient as along it" if flips else "a mean of 0",
        p=p,
        margin=least or None,
        verdict=verdict,
        smallest_p=2 / total if flips else None,
        runs_needed=needed(values, alpha, power, flips=flips),
        power=0.9 if power is None else power,
        exploratory=exploratory,
    )


def one_per_seed(statistics: ArrayLike, seeds: Sequence[int]) -> Float[Array, " S"]:
    values = np.asarray(statistics, dtype=np.float64)
    if values.ndim != 1:
        raise UserError(
            f"statistics has shape {list(values.shape)}: give one number per seed; average over samples "
            "and layers first, since those of one network share its feedback"
        )
    if len(seeds) != len(values):
        raise UserError(
            f"{len(values)} statistics for {len(seeds)} seeds: give one number per seed, not one per sample, "
            "layer or checkpoint"
        )
    if len(set(seeds)) < len(values):
        twice = next(seed for seed in seeds if list(seeds).count(seed) > 1)
        raise UserError(
            f"seed {twice} is given {list(seeds).count(twice)} times: average what belongs to one seed"
        )
    if bad := int(np.sum(~np.isfinite(values))):
        raise UserError(
            f"{bad} of {len(values)} statistics are not finite: leave out, and tell, seeds without one"
        )
    if len(values) < MIN_RUNS:
        raise UserError(f"{len(values)} seeds say nothing about an algorithm: at least {MIN_RUNS}, better 10")
    return values


def needed(values: Float[Array, " S"], alpha: float, power: float | None, *, flips: bool) -> int | None:
    """By the power of t at the mean and sd of these seeds; None where they show no alignment."""
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    if power is None or mean <= 0:
        return None

    def power_of(size: int) -> float:
        if flips and 2 / 2 ** min(size, 60) > alpha:
            return 0.0
        if sd == 0:
            return 1.0
        critical = float(student.isf(alpha / 2, size - 1))
        return float(nct.sf(critical, size - 1, mean / sd * math.sqrt(size)))

    return runs_needed(power_of, power)
