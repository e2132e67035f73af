"""Findings about a mean over runs: beyond a bound, within a margin, or nothing to test. By Student's t."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float

from epochal.analysis.runs.centre import mean_by_t
from epochal.core.values.finding import Finding, Verdict, judged

Values = Float[np.ndarray, " S"]


def mean_beyond(
    values: Values,
    bound: float,
    *,
    side: Literal["above", "below"] = "above",
    alpha: float,
    claim: str,
    null: str,
    test: str = "t over runs",
    unit: str = "",
    margin: float | None = None,
    note: str = "",
    is_log: bool = False,
    also: float = 0.0,
    least_sd: float = 0.0,
) -> Finding:
    """The mean lies above (or below) ``bound``: one-sided; refuted where the interval lies on the other side.

    The interval has level 1 - 2 ``alpha``, so that it and the test agree. With ``is_log`` values and bound
    are logarithms and factors are told. ``also`` is the p of whatever else has to hold. ``least_sd``: see
    :func:`epochal.analysis.runs.centre.mean_by_t`.

    Raises:
        UserError: all values are equal, and ``least_sd`` is 0.
    """
    centre = mean_by_t(values, least_sd)
    low, high = centre.interval(alpha)
    is_above = side == "above"
    p = max(centre.p_above(bound) if is_above else centre.p_below(bound), also)
    told: Callable[[float], float] = math.exp if is_log else float
    return Finding(
        claim=claim, test=test, estimate=told(centre.estimate), unit=unit, low=told(low), high=told(high),
        level=1 - 2 * alpha, num_runs=len(values), null=null, p=p, margin=margin,
        verdict=judged(p, alpha, is_refuted=high < bound if is_above else low > bound),
        smallest_p=0.0, note=note,
    )  # fmt: skip


def mean_within(
    values: Values, margin: float, *, alpha: float, claim: str, note: str = "", least_sd: float = 0.0
) -> Finding:
    """The mean lies within ``margin`` of 0: two one-sided tests (Schuirmann 1987); refuted by an interval
    outside."""
    centre = mean_by_t(values, least_sd)
    low, high = centre.interval(alpha)
    p = max(centre.p_below(margin), centre.p_above(-margin))
    verdict: Verdict = judged(p, alpha, is_refuted=low > margin or high < -margin)
    return Finding(
        claim=claim, test="two one-sided t tests", estimate=centre.estimate, low=low, high=high,
        level=1 - 2 * alpha, num_runs=len(values), null=f"{margin:g} or more away", p=p, margin=margin,
        verdict=verdict, smallest_p=0.0, note=note,
    )  # fmt: skip


def untested(claim: str, num_runs: int, why: str, *, test: str = "none", null: str = "none") -> Finding:
    """Nothing to test: what happened is told, and decides nothing."""
    return Finding(
        claim=claim, test=test, estimate=None, num_runs=num_runs, null=null, p=None, verdict="undecided",
        note=why,
    )  # fmt: skip
