"""How the step of generalisation follows the fraction of data and the weight decay, over whole runs."""

import math
from collections.abc import Mapping

import numpy as np
from scipy.stats import binom
from scipy.stats import t as student

from epochal.analysis import scaling_exponent
from epochal.analysis.runs.mean_against import untested
from epochal.analysis.runs.scaling import Scaling
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding, Verdict, judged
from epochal.core.values.study_runs import StudyRuns

EVENT = "generalised"
PER_POINT = "% per percentage point"


def law(
    runs: StudyRuns, conditions: Mapping[str, float], *, is_exponential: bool, level: float
) -> Scaling | str:
    """The slope of ln step on the condition's value, or on its logarithm; or why there is none.

    All runs of all arms count, those without the event as later than their last record. The interval is over
    seeds, each of which was trained under every condition.
    """
    x, times, seeds = table(runs, conditions)
    if not x:
        return "none of the arms is in this form"
    try:
        return scaling_exponent(np.exp(x) if is_exponential else x, times, seeds=seeds, level=level)
    except UserError as error:
        return str(error)


def table(
    runs: StudyRuns, conditions: Mapping[str, float]
) -> tuple[list[float], list[tuple[float, float]], list[int]]:
    """Value, (low, high) and seed of every run whose arm is among the conditions."""
    x: list[float] = []
    times: list[tuple[float, float]] = []
    seeds: list[int] = []
    for role in conditions:
        if role in runs.arms:
            arm = runs[role]
            x += [conditions[role]] * len(arm)
            times += arm.times(EVENT)
            seeds += arm.seeds
    return x, times, seeds


def falls_with_data(runs: StudyRuns, fractions: Mapping[str, float]) -> Finding:
    """ln step = c + k fraction, k below 0: one-sided, by Student's t over seeds.

    k is also the change in % per percentage point, to first order.
    """
    found = law(runs, fractions, is_exponential=True, level=1 - 2 * runs.alpha)
    claim = "the step of generalisation falls with the fraction of data"
    null = "it does not depend on the fraction"
    if isinstance(found, str):
        return unknown(runs, fractions, claim, null, found)
    p = tail(found, 0.0)
    verdict = judged(p, runs.alpha, is_refuted=found.low > 0)
    return fitted(
        runs, fractions, found, claim, null,
        test="slope of ln step, t over seeds", unit=PER_POINT, p=p, margin=None, verdict=verdict,
    )  # fmt: skip


def scales_with_decay(runs: StudyRuns, decays: Mapping[str, float]) -> Finding:
    """step ~ decay^k with k within the margin of -1: two one-sided tests, by Student's t over seeds."""
    found = law(runs, decays, is_exponential=False, level=1 - 2 * runs.alpha)
    margin = runs.margin("exponent")
    claim = f"the step of generalisation goes as the inverse of weight decay: exponent -1, up to {margin:g}"
    null = f"the exponent is at least {margin:g} away from -1"
    if isinstance(found, str):
        return unknown(runs, decays, claim, null, found)
    p = max(tail(found, -1 + margin), 1 - tail(found, -1 - margin))
    outside = found.high < -1 - margin or found.low > -1 + margin
    verdict = judged(p, runs.alpha, is_refuted=outside)
    return fitted(
        runs, decays, found, claim, null,
        test="two one-sided t tests over seeds", unit="", p=p, margin=margin, verdict=verdict,
    )  # fmt: skip


def is_log_linear(runs: StudyRuns, fractions: Mapping[str, float]) -> Finding:
    """Whether ln step in the middle lies on the line between its ends: two one-sided sign tests.

    bend = ln t_middle - (w ln t_lowest + (1 - w) ln t_highest),   w the middle's place

    Per seed the records leave a range of bends open, which has no lower end where the lowest fraction did not
    generalise. The median bend is within the margin where enough ranges lie above -margin, and below it.
    """
    margin = runs.margin("bend")
    claim = "ln step is linear in the fraction of data: the middle lies on the line between the ends"
    null = f"the median bend is {margin:.2g} or more (a factor of {math.exp(margin):.2g})"
    there = sorted((role for role in fractions if role in runs.arms), key=lambda role: fractions[role])
    if len(there) < 3:
        return unknown(runs, fractions, claim, null, "fewer than three fractions")
    middle = (fractions[there[0]] + fractions[there[-1]]) / 2
    chosen = (there[0], min(there[1:-1], key=lambda role: abs(fractions[role] - middle)), there[-1])
    ranges = bends(runs, chosen, fractions)
    num = len(ranges)
    above, below = sum(low > -margin for low, _ in ranges), sum(high < margin for _, high in ranges)
    p = float(max(binom.sf(above - 1, num, 0.5), binom.sf(below - 1, num, 0.5)))
    low, high = median_interval(ranges, runs.alpha)
    verdict: Verdict = "undecided"
    if p <= runs.alpha:
        verdict = "supported"
    elif high < -margin or low > margin:
        verdict = "refuted"
    known = all(math.isfinite(end) for one in ranges for end in one)
    finding = Finding(
        claim=claim,
        test="two one-sided sign tests of the median bend",
        estimate=float(np.median([(a + b) / 2 for a, b in ranges])) if known and ranges else None,
        unit="ln step",
        low=low,
        high=high,
        level=1 - 2 * runs.alpha,
        num_runs=num,
        null=null,
        p=p,
        margin=margin,
        verdict=verdict,
        smallest_p=0.5**num,
        note=f"at fractions {', '.join(f'{fractions[role]:g}' for role in chosen)}",
    )
    return runs.cited(finding, *chosen)


def bends(
    runs: StudyRuns, chosen: tuple[str, str, str], fractions: Mapping[str, float]
) -> list[tuple[float, float]]:
    """What the records leave open per seed that all three arms have."""
    by_seed = [dict(zip(runs[role].seeds, runs[role].times(EVENT), strict=True)) for role in chosen]
    first, middle, last = (fractions[role] for role in chosen)
    weight = (last - middle) / (last - first)
    made = []
    for seed in sorted(set.intersection(*(set(times) for times in by_seed))):
        (a, b), (c, d), (e, f) = (
            (log_of(low), log_of(high)) for low, high in (times[seed] for times in by_seed)
        )
        made.append((c - (weight * b + (1 - weight) * f), d - (weight * a + (1 - weight) * e)))
    return [(-math.inf if math.isnan(a) else a, math.inf if math.isnan(b) else b) for a, b in made]


def log_of(step: float) -> float:
    return math.log(step) if step > 0 else -math.inf


def median_interval(ranges: list[tuple[float, float]], alpha: float) -> tuple[float, float]:
    """Order statistics that hold the median with 1 - 2 alpha or more; without ends where runs are too few."""
    cut, num = int(binom.ppf(alpha, len(ranges), 0.5)), len(ranges)
    if not cut:
        return -math.inf, math.inf
    return sorted(low for low, _ in ranges)[cut - 1], sorted(high for _, high in ranges)[num - cut]


def tail(found: Scaling, value: float) -> float:
    """P of a slope as low as this one, or lower, if it were ``value``."""
    assert found.num_seeds is not None
    degrees = found.num_seeds - 1
    error = (found.high - found.low) / 2 / float(student.ppf((1 + found.level) / 2, degrees))
    if error == 0:
        return float(found.exponent >= value)
    return float(student.cdf((found.exponent - value) / error, degrees))


def fitted(
    runs: StudyRuns, conditions: Mapping[str, float], found: Scaling, claim: str, null: str, *,
    test: str, unit: str, p: float, margin: float | None, verdict: Verdict,
) -> Finding:  # fmt: skip
    values = [value for role, value in conditions.items() if role in runs.arms]
    missing = found.num_runs - found.num_events
    said = f"{found.num_runs} networks at {', '.join(f'{value:g}' for value in values)}"
    if missing:
        said += f", {missing} of which had not generalised by their last record and count as later"
    assert found.num_seeds is not None
    finding = Finding(
        claim=claim,
        test=test,
        estimate=found.exponent,
        unit=unit,
        low=found.low,
        high=found.high,
        level=found.level,
        num_runs=found.num_seeds,
        null=null,
        p=p,
        margin=margin,
        verdict=verdict,
        smallest_p=0.0,
        note=said,
    )
    return runs.cited(finding, *(role for role in conditions if role in runs.arms))


def unknown(runs: StudyRuns, conditions: Mapping[str, float], claim: str, null: str, why: str) -> Finding:
    roles = [role for role in conditions if role in runs.arms]
    num_seeds = len({seed for role in roles for seed in runs[role].seeds})
    return runs.cited(untested(claim, num_seeds, why, null=null), *roles)
