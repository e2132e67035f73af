"""Several tests as one family: max-T over shared permutations, Holm, Benjamini-Hochberg."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

from epochal.analysis.runs.levels import check_level
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding

Method = Literal["holm", "benjamini-hochberg"]


def adjust(findings: Sequence[Finding], *, method: Method = "holm", alpha: float = 0.05) -> list[Finding]:
    """The findings of one family, usually those of a study, with ``adjusted_p`` and the verdict it allows.

    A finding stays supported only if its adjusted p is at most ``alpha``. ``refuted`` comes from an interval
    of the finding's own level and stays: of H findings, each may be falsely refuted at that level. Findings
    without a p stay as they are and are not counted. Holm bounds the chance of any false support under any
    dependence; Benjamini-Hochberg the expected share of false ones among the supported, where the tests are
    independent or positively dependent.

    Raises:
        UserError: for an unknown method or alpha outside (0, 0.5).
    """
    check_level(alpha)
    if method not in ("holm", "benjamini-hochberg"):
        raise UserError(f"method={method!r} is not known: give 'holm' or 'benjamini-hochberg'")
    given = np.array([np.nan if finding.p is None else finding.p for finding in findings])
    adjusted = holm(given) if method == "holm" else benjamini_hochberg(given)
    return [
        finding if finding.p is None else with_adjusted(finding, float(p), alpha)
        for finding, p in zip(findings, adjusted, strict=True)
    ]


def with_adjusted(finding: Finding, p: float, alpha: float) -> Finding:
    lost = finding.verdict == "supported" and p > alpha
    return replace(finding, adjusted_p=p, verdict="undecided" if lost else finding.verdict)


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down p-values ``[H]``; NaN stays NaN, uncounted. Source: Holm 1979, SJS 6, 65-70."""
    given, known = as_p(p)
    rising = known[np.argsort(given[known], kind="stable")]
    adjusted = np.full(len(given), np.nan)
    left = np.arange(len(rising), 0, -1)
    adjusted[rising] = np.minimum(np.maximum.accumulate(left * given[rising]), 1.0)
    return adjusted


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Step-up p-values ``[H]`` for the false discovery rate; NaN stays NaN and is not counted.

    Source: Benjamini & Hochberg 1995, JRSS B 57, 289-300.
    """
    given, known = as_p(p)
    adjusted = np.full(len(given), np.nan)
    if len(known):
        adjusted[known] = false_discovery_control(given[known])
    return adjusted


def max_t(statistics: ArrayLike, null_statistics: ArrayLike, *, exact: bool = False) -> NDArray[np.float64]:
    """p-values ``[H]`` adjusted by the largest statistic of each shared permutation, stepping down.

    ``statistics`` ``[H]``, larger is stronger and on a common scale; ``null_statistics`` ``[N, H]``, a row
    being one permutation applied to all H tests alike. ``exact`` if the rows are all permutations, the
    observed among them; else the observed is counted as one more (N + 1). Keeps the dependence among tests,
    so it costs less than Holm, and nothing at all for copies of one test.

    Raises:
        UserError: for shapes that do not fit or values that are not finite.

    Source: Westfall & Young 1993, Resampling-Based Multiple Testing, algorithm 4.1 (free step-down).
    """
    observed = np.asarray(statistics, dtype=np.float64)
    null = np.asarray(null_statistics, dtype=np.float64)
    if observed.ndim != 1 or null.ndim != 2 or null.shape[1] != len(observed) or not len(null):
        raise UserError(
            f"statistics {list(observed.shape)} and null_statistics {list(null.shape)} must be [H] and [N, H]"
        )
    if not (np.isfinite(observed).all() and np.isfinite(null).all()):
        raise UserError("max_t: statistics must be finite; leave out tests that could not be made")
    falling = np.argsort(-observed, kind="stable")
    # Column k: the largest among the tests that are no stronger than the k-th strongest.
    largest = np.maximum.accumulate(null[:, falling[::-1]], axis=1)[:, ::-1]
    # A tie of equal integers must count although dividing by a scale rounded them.
    reached = largest >= observed[falling] * (1 - 1e-12 * np.sign(observed[falling]))
    extra = 0 if exact else 1
    p = (reached.sum(axis=0) + extra) / (len(null) + extra)
    adjusted = np.empty(len(observed))
    adjusted[falling] = np.maximum.accumulate(p)
    return adjusted


def as_p(p: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """p-values as an array, and where there are any."""
    given = np.asarray(p, dtype=np.float64)
    if given.ndim != 1:
        raise UserError(f"p has shape {list(given.shape)}: give one p-value per test, [H]")
    known = np.flatnonzero(~np.isnan(given))
    if ((given[known] < 0) | (given[known] > 1)).any():
        raise UserError("p-values must lie in [0, 1], or be NaN where no test was made")
    return given, known
