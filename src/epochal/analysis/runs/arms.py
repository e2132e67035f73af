"""Do two arms of an experiment differ in when an event happens? The same seed in both arms is one pair."""

import math
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from epochal.analysis.runs.centre import MOST_FLIPPED, mean_by_flips
from epochal.analysis.runs.levels import check_level
from epochal.analysis.runs.paired_times import MIN_RUNS, Times, as_times
from epochal.analysis.runs.resampled_power import different_by_t, runs_to_decide
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding, Verdict

NUM_DRAWS = 9_999


def compare_arms(
    times_1: ArrayLike | Times,
    times_2: ArrayLike | Times,
    *,
    horizon: float,
    seeds_1: ArrayLike | None = None,
    seeds_2: ArrayLike | None = None,
    test: Literal["restricted mean", "log-rank"] = "restricted mean",
    margin: float | None = None,
    alpha: float = 0.05,
    power: float | None = 0.9,
    seed: int = 0,
    names: tuple[str, str] = ("arm 1", "arm 2"),
    unit: str = "steps",
    exploratory: bool = True,
) -> Finding:
    """Whether an event comes earlier in one arm than in the other, seed by seed; two-sided.

    difference = mean over seeds of min(T_2, horizon) - min(T_1, horizon)

    * ``times_1``, ``times_2``: ``[S]`` steps or ``[S, 2]`` intervals, NaN where it had not happened by
      ``horizon``, the last step to which all runs of both arms were observed. The same position is the same
      seed, unless ``seeds_1`` and ``seeds_2`` name them; then seeds in one arm only are left out and told.
    * ``test``: the statistic whose signs are flipped. If the arms do not differ, either run of a seed could
      have been in either arm: that flips the sign of the seed's difference, of restricted times or of
      log-rank scores. Exact up to 20 seeds, else 9,999 random flips, counting the observed.
    * ``margin``: a difference worth the name. ``refuted`` needs it: the interval lies within it.

    The interval is for the mean difference, of level 1 - alpha: from the flips up to 20 seeds (unbounded
    below 6), so that it leaves 0 exactly when p <= alpha, by t from 21. p of the log-rank is that of another
    statistic, and may decide where the interval does not; the note says so. Time lost is time to the horizon
    only; a run that diverges before it is best counted as NaN, and then this is a statement about "event by
    the horizon, without divergence": see ``aalen_johansen``. Under no effect the difference is 0 and p
    uniform or larger.

    Raises:
        UserError: for unequal arms, repeated seeds, times after the horizon, fewer than three pairs.

    Sources: Royston & Parmar 2013, BMC Med. Res. Methodol. 13, 152 (restricted mean); Peto & Peto 1972, JRSS
    A 135, 185-207 (log-rank scores, by permutation).
    """
    check_level(alpha, power)
    if test not in ("restricted mean", "log-rank"):
        raise UserError(f"test={test!r} is not known: give 'restricted mean' or 'log-rank'")
    if not (math.isfinite(horizon) and horizon > 0):
        raise UserError(f"horizon={horizon:g} must be the step to which all runs were observed, above 0")
    if margin is not None and not (math.isfinite(margin) and margin > 0):
        raise UserError(f"margin={margin:g} must be a positive number of {unit}, fixed before looking")
    first, second = as_times(times_1, "times_1"), as_times(times_2, "times_2")
    rows_1, rows_2, alone = pair_up(len(first), len(second), seeds_1, seeds_2)
    restricted_1 = restricted(first, horizon, "times_1")[rows_1]
    restricted_2 = restricted(second, horizon, "times_2")[rows_2]
    happened_1, happened_2 = first.happened[rows_1], second.happened[rows_2]
    difference = restricted_2 - restricted_1
    if not (happened_1.any() or happened_2.any()):
        raise UserError(f"the event happened in no run of either arm by step {horizon:g}")
    scores = difference
    if test == "log-rank":
        pooled = log_rank_scores(
            np.concatenate([restricted_1, restricted_2]), np.concatenate([happened_1, happened_2])
        )
        scores = pooled[: len(rows_1)] - pooled[len(rows_1) :]
    p, how, smallest = flip_p(scores, seed)
    low, high = mean_interval(difference, alpha)
    verdict: Verdict = "undecided"
    if p <= alpha:
        verdict = "supported"
    elif margin is not None and -margin < low and high < margin:
        verdict = "refuted"
    said = [
        f"events in {happened_1.sum()} and {happened_2.sum()} of {len(rows_1)} seeds by {horizon:g} {unit}"
    ]
    if (p <= alpha) != (low > 0 or high < 0):
        said.append(f"the interval is that of the mean difference, the p that of {test}; they differ here")
    if alone:
        said.append(f"{alone} runs without a partner of the same seed left out")
    return Finding(
        claim=f"{names[0]} and {names[1]} differ in when it happens",
        test=f"{test}, {how} flips within seeds",
        estimate=float(difference.mean()),
        unit=unit,
        low=low,
        high=high,
        level=1 - alpha,
        num_runs=len(rows_1),
        null="either run of a seed could be in either arm",
        p=p,
        margin=margin,
        verdict=verdict,
        smallest_p=smallest,
        runs_needed=runs_to_decide(scores, different_by_t, alpha=alpha, power=power, seed=seed),
        power=0.9 if power is None else power,
        exploratory=exploratory,
        note="; ".join(said),
    )


def pair_up(
    num_1: int, num_2: int, seeds_1: ArrayLike | None, seeds_2: ArrayLike | None
) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Rows of either arm that share a seed, in the order of the seeds, and how many rows have no partner."""
    if (seeds_1 is None) != (seeds_2 is None):
        raise UserError("seeds_1 and seeds_2 go together: give both, or neither where positions are seeds")
    if seeds_1 is None or seeds_2 is None:
        if num_1 != num_2:
            raise UserError(
                f"times_1 has {num_1} runs and times_2 has {num_2}: name their seeds with seeds_1 and seeds_2"
            )
        rows_1 = rows_2 = np.arange(num_1)
    else:
        keys = []
        for seeds, count, name in ((seeds_1, num_1, "seeds_1"), (seeds_2, num_2, "seeds_2")):
            key = np.asarray(seeds)
            if key.shape != (count,):
                raise UserError(f"{name} has shape {list(key.shape)}: give one seed for each of {count} runs")
            if len(np.unique(key)) < count:
                raise UserError(f"{name} repeats a seed: compare arms with one run per seed")
            keys.append(key)
        _, rows_1, rows_2 = np.intersect1d(keys[0], keys[1], assume_unique=True, return_indices=True)
    if len(rows_1) < MIN_RUNS:
        raise UserError(f"{len(rows_1)} seeds are in both arms: at least {MIN_RUNS}, better 10")
    return rows_1, rows_2, num_1 + num_2 - 2 * len(rows_1)


def restricted(times: Times, horizon: float, name: str) -> Float[np.ndarray, "S"]:
    if (late := times.happened & (times.high > horizon)).any():
        raise UserError(
            f"{name} has an event at step {times.high[late][0]:g}, after horizon={horizon:g}: give the last "
            "step to which all runs were observed"
        )
    if (short := ~times.happened & (times.low < horizon)).any():
        raise UserError(
            f"{name} has a run observed to step {times.low[short][0]:g} only, before horizon={horizon:g}: "
            "lower the horizon"
        )
    return np.asarray(np.minimum(times.middle, horizon))


def log_rank_scores(times: Float[np.ndarray, "S"], happened: NDArray[np.bool_]) -> Float[np.ndarray, "S"]:
    """Event (1 or 0) less the Nelson-Aalen hazard; their sum over an arm is O - E of the log-rank."""
    at_risk = np.sum(times[:, None] <= times, axis=1)
    # A run at risk until `time`, over every event up to it; ties share their risk set.
    each = np.where(happened, 1 / at_risk, 0.0)
    hazard = np.sum(np.where(times <= times[:, None], each, 0.0), axis=1)
    return np.asarray(happened - hazard)


def flip_p(scores: Float[np.ndarray, "S"], seed: int) -> tuple[float, str, float]:
    """Two-sided p of the mean, how many flips gave it, and the smallest p they could have given."""
    if len(scores) <= MOST_FLIPPED:
        centre = mean_by_flips(scores)
        total = 2 ** len(scores)
        return min(1.0, 2 * min(centre.p_below(0.0), centre.p_above(0.0))), f"all {total:,}", 2 / total
    generator = np.random.Generator(np.random.PCG64(seed))
    signs = generator.integers(0, 2, (NUM_DRAWS, len(scores))) * 2 - 1
    sums = np.abs(signs @ scores)
    reached = int(np.sum(sums >= abs(scores.sum()) * (1 - 1e-12)))
    return (reached + 1) / (NUM_DRAWS + 1), f"{NUM_DRAWS:,} random", 1 / (NUM_DRAWS + 1)


def mean_interval(difference: Float[np.ndarray, "S"], alpha: float) -> tuple[float, float]:
    if len(difference) <= MOST_FLIPPED:
        return mean_by_flips(difference).interval(alpha / 2)
    error = float(np.std(difference, ddof=1)) / math.sqrt(len(difference))
    half = float(student.isf(alpha / 2, len(difference) - 1)) * error
    return float(difference.mean()) - half, float(difference.mean()) + half
