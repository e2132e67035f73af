"""Findings about a number per network: its mean by t, its median by signs, and what is not shown."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import binom

from epochal.analysis.runs.mean_against import mean_beyond, untested
from epochal.core.values.finding import Finding, judged
from epochal.core.values.study_runs import StudyRuns
from epochal.studies.robust_grokking.curves import Array

FEWEST = 3
"""Networks that a test needs."""


def above(
    runs: StudyRuns, values: Array, bound: float, *, claim: str, null: str, unit: str, note: str,
    margin: float | None = None, is_log: bool = False, roles: Sequence[str],
) -> Finding:  # fmt: skip
    """A claim that the mean over networks lies above a bound: one-sided t; refuted by an interval below.

    With ``is_log`` the values and the bound are logarithms and factors are told.
    """
    if len(values) < FEWEST:
        return unknown(runs, claim=claim, null=null, note=note, num_runs=len(values), roles=roles)
    if np.ptp(values) == 0:  # a t test knows no equal values
        said = f"all {len(values)} networks have the same value, {values[0]:.4g}"
        return unknown(
            runs, claim=claim, null=null, note=f"{note}; {said}", num_runs=len(values), roles=roles
        )
    return runs.cited(
        mean_beyond(
            values, bound, alpha=runs.alpha, claim=claim, null=null, unit=unit, margin=margin, note=note,
            test="t of the log factor" if is_log else "t over seeds", is_log=is_log,
        ),
        *roles,
    )  # fmt: skip


def both_above(
    runs: StudyRuns, first: Array, second: Array, *, claim: str, null: str, note: str, roles: Sequence[str]
) -> Finding:
    """Both means lie above 0: the larger p of two t tests (intersection-union); told is the smaller mean."""
    each = [
        above(runs, v, 0.0, claim=claim, null=null, unit="", note=note, roles=roles) for v in (first, second)
    ]
    bad = [one for one in each if one.p is None]
    if bad:
        return bad[0]
    worse = max(each, key=lambda one: one.p or 0.0)
    refuted = [one for one in each if one.verdict == "refuted"]
    return refuted[0] if refuted else worse


def later(
    runs: StudyRuns, ranges: Sequence[tuple[float, float]], least: float, *, claim: str, note: str,
    roles: Sequence[str],
) -> Finding:  # fmt: skip
    """The median ratio of two times is at least ``least``: a sign test, exact for any law.

    Ranges are what the records leave open. Support counts lower ends, refutation is by upper ends.
    """
    num, reached = len(ranges), sum(low >= least for low, _ in ranges)
    p = float(binom.sf(reached - 1, num, 0.5))
    cut = int(binom.ppf(runs.alpha, num, 0.5))
    low = sorted(low for low, _ in ranges)[cut - 1] if cut else 0.0
    high = sorted(high for _, high in ranges)[num - cut] if cut else math.inf
    middle = [math.sqrt(a * b) for a, b in ranges if a > 0 and math.isfinite(b)]
    return runs.cited(
        Finding(
            claim=claim, test="sign test of the median",
            estimate=float(np.median(middle)) if len(middle) == num else None, unit="times",
            low=low, high=high, level=1 - 2 * runs.alpha, num_runs=num,
            null=f"half of all seeds are less than {least:g} times later", p=p, margin=least,
            verdict=judged(p, runs.alpha, is_refuted=high < least), smallest_p=0.5**num, note=note,
        ),
        *roles,
    )  # fmt: skip


def unknown(
    runs: StudyRuns, *, claim: str, null: str, note: str, num_runs: int, roles: Sequence[str]
) -> Finding:
    """Undecided, with why."""
    return runs.cited(untested(claim, num_runs, note, null=null), *roles)
