"""Do two events happen at the same time, up to a margin?"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from epochal.analysis.centre import Centre, mean_by_flips, mean_by_t, median_by_ranks
from epochal.analysis.coupling_power import runs_needed
from epochal.analysis.levels import check_level
from epochal.analysis.paired_times import MIN_RUNS, Times, as_pair
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding, Verdict

Test = Literal["t", "sign-flip"]
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
    """Whether the mean signed lag B - A lies within ``margin`` steps of 0, the margin fixed beforehand.

    Two one-sided tests at ``alpha`` each: the lag is above -margin, and below margin. ``p`` is the larger,
    and the interval, of level 1 - 2 alpha, lies inside the margin exactly when p <= alpha: ``supported``. It
    is ``refuted`` where the interval lies wholly outside, else ``undecided``.

    * ``times_a``, ``times_b``: ``[S]`` steps, NaN where the event did not happen, or ``[S, 2]`` of (low,
      high).
    * ``record_interval``: steps between records about the events, one number or one per run; taken from
      (low, high) where those are given. A lag of two recorded times is off by up to one record interval.
      Where the lags spread less than that, rounding does not average out and the interval is widened by it on
      both sides; equal lags thus have the interval of the record schedule. A margin below two is warned of.
    * ``test``: ``"t"`` by default, with size .04-.06 at the margin for normal and t3 lags and more power at
      5 runs; ``"sign-flip"`` is exact for symmetric lags of up to 20 runs. Neither holds for strongly skewed
      lags: .17 and .10 for exponential ones with the long tail outward, 5 runs.

    A run in which only one of the two happened lies outside the margin. Then the centre is the median and the
    test that of signed ranks, such runs taking the largest ranks. A run in which neither happened has no lag
    and is told in the note.

    Under no effect (a mean lag at the margin) p is uniform.

    Raises:
        UserError: for a margin that is not positive, fewer than three lags, malformed times.

    Sources: Schuirmann 1987, J. Pharmacokin. Biopharm. 15, 657-680; Hartigan 1969 for the flips.
    Calibration: bench/results/calibration-same-time.md, with the bootstrap that fails beside it.
    """
    check_level(alpha, power)
    if test not in ("t", "sign-flip"):
        raise UserError(f"test={test!r} is not known: give 't' or 'sign-flip'")
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
    needed = None
    if power is not None and settled.sd is not None and abs(centre.estimate) + shift < margin:
        sd = settled.sd

        def power_of(size: int) -> float:
            return same_time_power(
                abs(centre.estimate) + shift, sd, size, margin=margin, alpha=alpha, seed=seed
            )

        needed = runs_needed(power_of, power)
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
        runs_needed=needed,
        power=0.9 if power is None else power,
        exploratory=exploratory,
        note=notes(a, b, margin, resolution, names, unit),
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


def mean_half_width(num_runs: int, alpha: float) -> float:
    unit = mean_by_t(np.zeros(num_runs), least_sd=1.0)
    return unit.interval(alpha)[1]


@dataclass(frozen=True, kw_only=True)
class Settled:
    """The centre of the lags by the test that fits them, and how far rounding may have moved it."""

    centre: Centre
    shift: float
    sd: float | None
    test: str


def centre_of(lags: Float[np.ndarray, "S"], resolution: Float[np.ndarray, "S"], test: Test) -> Settled:
    shift = float(resolution.mean())
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
) -> str:
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
    return "; ".join(said)
