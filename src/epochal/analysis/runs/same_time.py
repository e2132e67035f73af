"""Do two events happen at the same time, up to a margin?"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from epochal.analysis.runs.centre import Centre, mean_by_flips, mean_by_t, median_by_ranks, median_by_signs
from epochal.analysis.runs.coupling_power import runs_needed
from epochal.analysis.runs.levels import check_level
from epochal.analysis.runs.paired_times import MIN_RUNS, Times, as_pair
from epochal.analysis.runs.resampled_power import runs_to_decide, within_by_ranks, within_by_signs
from epochal.analysis.runs.skewness import is_skewed
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding, Verdict

Test = Literal["t", "sign-flip", "sign"]
POWER_DRAWS = 2_000


def same_time(
    times_a: ArrayLike | Times,
    times_b: ArrayLike | Times,
    *,
    margin: float,
    record_interval: ArrayLike | None = None,
    test: Test = "t",
    alpha: float = 0.05,
    power: float | None = 0.9,
    seed: int = 0,
    names: tuple[str, str] = ("A", "B"),
    unit: str = "steps",
    exploratory: bool = True,
) -> Finding:
    """Whether the centre of the signed lags B - A lies within ``margin`` steps of 0, fixed beforehand.

    Two one-sided tests at ``alpha`` each: the lag is above -margin, and below margin. ``p`` is the larger,
    and the interval, of level 1 - 2 alpha, lies inside the margin exactly when p <= alpha: ``supported``. It
    is ``refuted`` where the interval lies wholly outside, else ``undecided``.

    * ``times_a``, ``times_b``: ``[S]`` steps, NaN where the event did not happen, or ``[S, 2]`` of (low,
      high).
    * ``record_interval``: steps between records about the events, one number or one per run; taken from
      (low, high) where those are given. A lag of two recorded times is off by up to one record interval.
      Where the lags spread less than that, rounding does not average out and the interval is widened by it on
      both sides; equal lags thus have the interval of the record schedule. A margin below two is warned of.
    * ``test``: ``"t"`` (mean) by default, with size .04-.06 at the margin for normal and t3 lags;
      ``"sign-flip"`` (mean) is exact for symmetric lags of up to 20 runs. No test of a *mean* holds for all
      skewed lags of a few runs (Bahadur & Savage 1956): with exponential ones whose long tail points outward
      the t claims .16 at 5 runs. ``"sign"`` (median) is exact whatever the law, at a price: a normal lag at
      0 and a margin of 1.4 sd is found with .42 instead of .67 of 5 runs, .65 instead of .99 of 10. Where
      delays are skewed, as those of slow events often are, declare it beforehand. The note warns where the
      lags at hand are more skewed than 19 of 20 normal samples, with what signs would say; few runs often do
      not show it, so no warning is no proof.

    A run in which only one of the two happened lies outside the margin. Then the centre is the median and,
    unless it is ``"sign"``, the test that of signed ranks, such runs taking the largest ranks. A run in which
    neither happened has no lag and is told in the note.

    Under no effect (a mean lag at the margin) p is uniform.

    Raises:
        UserError: for a margin that is not positive, fewer than three lags, malformed times.

    Sources: Schuirmann 1987, J. Pharmacokin. Biopharm. 15, 657-680; Hartigan 1969 for the flips.
    Calibration: bench/results/calibration-same-time.md, with the bootstrap that fails beside it.
    """
    check_level(alpha, power)
    if test not in ("t", "sign-flip", "sign"):
        raise UserError(f"test={test!r} is not known: give 't', 'sign-flip' or 'sign'")
    if not (math.isfinite(margin) and margin > 0):
        raise UserError(f"margin={margin:g} must be a positive number of {unit}, fixed before looking")
    a, b = as_pair(times_a, times_b)
    lags = signed_lags(a, b)
    check_enough(lags)
    resolution = resolution_of(a, b, record_interval)
    settled = centre_of(lags, resolution, test)
    centre, shift = settled.centre, settled.shift
    p = max(centre.p_below(margin - shift), centre.p_above(shift - margin))
    low, high = centre.interval(alpha)
    low, high = low - shift, high + shift
    verdict: Verdict = "undecided"
    if p <= alpha:
        verdict = "supported"
    elif low > margin or high < -margin:
        verdict = "refuted"
    said = notes(a, b, margin, resolution, names, unit)
    if test != "sign" and is_skewed(lags):
        signs = median_by_signs(lags)
        p_signs = max(signs.p_below(margin - shift), signs.p_above(shift - margin))
        said.append(
            "warning: the lags are skewed, for which this test may claim too much; by test='sign', which "
            f"holds for any law, p = {p_signs:.2g}"
        )
    return Finding(
        claim=f"{names[0]} and {names[1]} happen at the same time",
        test=settled.test,
        estimate=centre.estimate,
        unit=unit,
        low=low,
        high=high,
        level=1 - 2 * alpha,
        num_runs=len(lags),
        null="a lag of the margin or more",
        p=min(1.0, p),
        margin=margin,
        verdict=verdict,
        smallest_p=centre.smallest_p,
        runs_needed=needed_runs(settled, lags, margin, alpha, power, seed),
        power=0.9 if power is None else power,
        exploratory=exploratory,
        note="; ".join(said),
    )


def same_time_power(
    mean: float, sd: float, num_runs: int, *, margin: float, alpha: float = 0.05, seed: int = 0
) -> float:
    """Probability that two one-sided t tests of so many normal lags support the claim; 2,000 draws."""
    if num_runs < 2:
        return 0.0
    generator = np.random.Generator(np.random.PCG64([seed, num_runs]))
    means = mean + sd / math.sqrt(num_runs) * generator.standard_normal(POWER_DRAWS)
    sds = sd * np.sqrt(generator.chisquare(num_runs - 1, POWER_DRAWS) / (num_runs - 1))
    half = mean_half_width(num_runs, alpha) * sds
    return float(np.mean(np.abs(means) + half <= margin))


@dataclass(frozen=True, kw_only=True)
class Settled:
    """The centre of the lags by the test that fits them, and how far rounding may have moved it."""

    centre: Centre
    shift: float
    sd: float | None
    test: str
    by_signs: bool = False


def needed_runs(
    settled: Settled,
    lags: Float[np.ndarray, "S"],
    margin: float,
    alpha: float,
    power: float | None,
    seed: int,
) -> int | None:
    """With normal lags of this mean and sd, or, where the test is of a median, drawn from those at hand."""
    if power is None or abs(settled.centre.estimate) + settled.shift >= margin:
        return None
    if settled.sd is None:
        within = within_by_signs if settled.by_signs else within_by_ranks
        least = margin - settled.shift
        return runs_to_decide(lags, lambda drawn: within(drawn, least), alpha=alpha, power=power, seed=seed)
    mean, sd = abs(settled.centre.estimate) + settled.shift, settled.sd

    def power_of(size: int) -> float:
        return same_time_power(mean, sd, size, margin=margin, alpha=alpha, seed=seed)

    return runs_needed(power_of, power)


def mean_half_width(num_runs: int, alpha: float) -> float:
    unit = mean_by_t(np.zeros(num_runs), least_sd=1.0)
    return unit.interval(alpha)[1]


def centre_of(lags: Float[np.ndarray, "S"], resolution: Float[np.ndarray, "S"], test: Test) -> Settled:
    shift = float(resolution.mean())
    if test == "sign":
        finite = lags[np.isfinite(lags)]
        if shift == 0 and len(finite) > 1:
            mean_by_t(finite)  # refuses equal lags of unknown resolution
        name = "two one-sided sign tests, median lag"
        return Settled(centre=median_by_signs(lags), shift=shift, sd=None, test=name, by_signs=True)
    if not np.isfinite(lags).all():
        name = "two one-sided tests of signed ranks, median lag"
        finite = lags[np.isfinite(lags)]
        if shift == 0 and len(finite) > 1:
            mean_by_t(finite)  # refuses equal lags of unknown resolution
        return Settled(centre=median_by_ranks(lags), shift=shift, sd=None, test=name)
    sd = float(np.std(lags, ddof=1))
    if sd >= shift > 0:
        shift = 0.0
    # Two times rounded to records r apart, evenly: variance r^2 / 12 each.
    sd = max(sd, math.sqrt(float(np.mean(resolution**2)) / 6))
    if test == "t":
        centre: Centre = mean_by_t(lags, least_sd=sd)
        name = "two one-sided t tests, mean lag"
    else:
        mean_by_t(lags, least_sd=sd)  # refuses equal lags of unknown resolution
        centre = mean_by_flips(lags)
        name = f"two one-sided tests by all {2 ** len(lags):,} sign flips, mean lag"
    return Settled(centre=centre, shift=shift, sd=sd, test=name)


def signed_lags(a: Times, b: Times) -> Float[np.ndarray, "S"]:
    """B - A: infinite where only A happened, minus infinite where only B did; runs with neither left out."""
    some = a.happened | b.happened
    return np.asarray(b.middle[some] - a.middle[some])


def check_enough(lags: Float[np.ndarray, "S"]) -> None:
    if len(lags) < MIN_RUNS:
        raise UserError(
            f"only {len(lags)} runs have either event, too few for a lag: at least {MIN_RUNS}, better 10"
        )
    if not np.isfinite(lags).any():
        raise UserError(
            f"no run of {len(lags)} has both events, so there is no lag to compare with the margin"
        )


def resolution_of(a: Times, b: Times, record_interval: ArrayLike | None) -> Float[np.ndarray, "S"]:
    """Steps by which each run's lag may be off: half of an interval for either time."""
    some = a.happened | b.happened
    if record_interval is None:
        return np.asarray((a.width[some] + b.width[some]) / 2)
    given = np.asarray(record_interval, dtype=np.float64)
    if given.shape not in ((), (len(a),)) or not np.isfinite(given).all() or (given < 0).any():
        raise UserError(
            f"record_interval={record_interval} must be steps, one number or one per run, at least 0"
        )
    return np.asarray(np.broadcast_to(given, (len(a),))[some])


def notes(
    a: Times, b: Times, margin: float, resolution: Float[np.ndarray, "S"], names: tuple[str, str], unit: str
) -> list[str]:
    said = []
    if margin < 2 * float(resolution.max()):
        said.append(
            f"warning: the margin is below two record intervals of {resolution.max():g} {unit}, which is "
            "what recorded times resolve"
        )
    only_a, only_b = int(np.sum(a.happened & ~b.happened)), int(np.sum(b.happened & ~a.happened))
    for count, happened, missing in ((only_a, *names), (only_b, *names[::-1])):
        if count:
            said.append(f"{happened} without {missing} in {count}, counted as outside the margin")
    if neither := int(np.sum(~a.happened & ~b.happened)):
        said.append(f"neither happened in {neither} more, which have no lag")
    return said
