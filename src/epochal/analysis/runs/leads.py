"""Does one event come before another, by more than how they are measured explains?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epochal.analysis.runs.centre import median_by_signs
from epochal.analysis.runs.levels import check_level
from epochal.analysis.runs.paired_times import as_pair
from epochal.analysis.runs.resampled_power import all_by_signs, runs_to_decide
from epochal.analysis.runs.same_time import check_enough, resolution_of, signed_lags
from epochal.core.values.finding import Finding, Verdict

PARTS = ("onset", "midpoint", "end")


@dataclass(frozen=True, kw_only=True)
class Course:
    """When an event began, was half done and ended in each run: ``[S]`` steps, NaN where it did not."""

    onset: ArrayLike
    midpoint: ArrayLike
    end: ArrayLike


def leads(
    times_a: Course | ArrayLike,
    times_b: Course | ArrayLike,
    *,
    placebo: Course | ArrayLike,
    record_interval: ArrayLike | None = None,
    alpha: float = 0.05,
    power: float | None = 0.9,
    seed: int = 0,
    names: tuple[str, str, str] = ("A", "B", "the placebo"),
    unit: str = "steps",
    exploratory: bool = True,
) -> Finding:
    """Whether A comes before B, and also before a placebo that measures B's own cause on another scale.

    A log loss leads a saturating accuracy even if one latent drives both. So the claim is put together from
    up to six sign tests, all of which must hold: A before B and A before the placebo, each at onset, midpoint
    and end; ``p`` is the largest (an intersection-union test, which needs no adjustment). ``supported``
    asks for p <= alpha with all six; midpoints alone (plain ``[S]`` arrays) leave it undecided. ``refuted``
    means that some median lag's interval lies below 0.

    * ``placebo``: validation loss or margin where B is validation accuracy, in the same runs.
    * ``record_interval``: a lag of no more than that is a tie, and a tie counts against the claim.

    The estimate is the median lag B - A at the midpoint with the interval of the sign tests, of level at
    least 1 - 2 alpha (90%; unbounded below 5 runs), which is above 0 where that one test of the six says so;
    the lags against the placebo and at onset and end are in the note. A run with A only counts as a lead, one
    with B only against it; one with neither is left out. Under no effect the median lag is 0 and p at least
    uniform.

    Raises:
        UserError: for unequal numbers of runs, fewer than three lags, malformed times.

    Source: Berger 1982, Technometrics 24, 295-300 (intersection-union).
    """
    check_level(alpha, power)
    whole = all(isinstance(given, Course) for given in (times_a, times_b, placebo))
    parts = PARTS if whole else ("midpoint",)
    p, smallest, refuted, said = 0.0, 0.0, False, []
    holds: list[NDArray[np.float64]] = []
    headline: tuple[float, float, float, int] | None = None
    for other, given in ((names[1], times_b), (names[2], placebo)):
        medians = []
        for part in parts:
            a, b = as_pair(part_of(times_a, part), part_of(given, part))
            lags = signed_lags(a, b)
            check_enough(lags)
            resolution = resolution_of(a, b, record_interval)
            centre = median_by_signs(lags - np.where(np.isfinite(lags), resolution, 0.0))
            against = median_by_signs(lags + np.where(np.isfinite(lags), resolution, 0.0))
            p = max(p, centre.p_above(0.0))
            smallest = max(smallest, 0.5 ** len(lags))
            low, high = centre.interval(alpha)[0], against.interval(alpha)[1]
            refuted |= high < 0
            # As 1 or 0 per run; a run that has no lag in this part is none in favour.
            favours = np.zeros(len(a))
            favours[a.happened | b.happened] = lags - np.where(np.isfinite(lags), resolution, 0.0) > 0
            holds.append(favours)
            medians.append(f"{median_by_signs(lags).estimate:.4g}")
            if part == "midpoint" and headline is None:
                headline = median_by_signs(lags).estimate, low, high, len(lags)
        said.append(f"median lag of {other} {' / '.join(medians)}")
    assert headline is not None
    note = f"{'; '.join(said)} {unit} at {' / '.join(parts)}"
    if not whole:
        note += "; a lead needs onset, midpoint and end of all three (Course) to be supported"
    verdict: Verdict = "supported" if whole and p <= alpha else "refuted" if refuted else "undecided"
    estimate, low, high, num_runs = headline
    return Finding(
        claim=f"{names[0]} leads {names[1]}",
        test=f"{2 * len(parts)} sign tests, the largest p",
        estimate=estimate,
        unit=unit,
        low=low,
        high=high,
        level=1 - 2 * alpha,
        num_runs=num_runs,
        null=f"{names[0]} as often after as before {names[1]} or {names[2]}",
        p=p,
        verdict=verdict,
        smallest_p=smallest,
        runs_needed=runs_to_decide(
            np.stack(holds, axis=1), all_by_signs, alpha=alpha, power=power if whole else None, seed=seed
        ),
        power=0.9 if power is None else power,
        exploratory=exploratory,
        note=note,
    )


def part_of(given: Course | ArrayLike, part: str) -> ArrayLike:
    if not isinstance(given, Course):
        return given
    times = {"onset": given.onset, "midpoint": given.midpoint, "end": given.end}
    return times[part]
