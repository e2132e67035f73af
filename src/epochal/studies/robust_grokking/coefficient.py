"""What the local learning coefficient does around the transition, and whether it goes with curvature.

Only values of settled chains count. Two predictions are published, which do not exclude each other: it is
high during the transition and lower in stable stretches; it rises in memorisation and falls through the
transition.
"""

import math

import numpy as np
from scipy.stats import spearmanr

from epochal.core.values.finding import Finding
from epochal.core.values.study_runs import MemberRun, StudyRuns
from epochal.studies.robust_grokking.arms import COURSES
from epochal.studies.robust_grokking.claims import above, both_above
from epochal.studies.robust_grokking.curves import Array, Rise, curve, has
from epochal.studies.robust_grokking.robustness import rises

CURVATURE = {"trace": "the Hessian's trace", "top_eigenvalues.0": "its largest eigenvalue"}
FEWEST_RECORDS = 5


def around_transition(runs: StudyRuns, role: str) -> list[Finding]:
    """Both predictions, of means over the records of each stretch, by t over seeds."""
    words, members = COURSES[role].words, runs[role].runs
    if not any(has(run, "llc") for run in members):
        return []
    peaks, climbs, drops = [], [], []
    for run, rise in zip(members, rises(runs, role), strict=True):
        if rise.is_shown and (parts := stretches(run, rise)):
            start, stable_before, during, stable_after = parts
            peaks.append(during - max(stable_before, stable_after))
            climbs.append(stable_before - start)
            drops.append(during - stable_after)
    said = (
        f"{settled(members)}; {len(peaks)} of {len(members)} networks have settled records in every stretch"
    )
    high = above(
        runs, np.array(peaks), 0.0, unit="", roles=(role,),
        claim=f"{role}: the LLC is higher while {words[1]} rises than before and after",
        null="it is as high before or after", note=said,
    )  # fmt: skip
    falls = both_above(
        runs, np.array(climbs), np.array(drops), roles=(role,),
        claim=f"{role}: the LLC rises until {words[0]} saturates, and falls through the rise of {words[1]}",
        null="it does not rise, or does not fall", note=said + "; told is the smaller of the two changes",
    )  # fmt: skip
    return [high, falls]


def stretches(run: MemberRun, rise: Rise) -> tuple[float, float, float, float] | None:
    """Settled LLC at the start, and its mean once saturated, during the rise, after it; None without one."""
    steps, values = settled_curve(run)
    saturated = rise.saturated[1]
    windows = (
        steps < saturated,
        (steps >= saturated) & (steps < rise.onset),
        (steps >= rise.onset) & (steps <= rise.end),
        steps > rise.end,
    )
    if not all(window.any() for window in windows):
        return None
    first = float(values[windows[0]][0])
    before, during, after = (float(values[window].mean()) for window in windows[1:])
    return first, before, during, after


def settled_curve(run: MemberRun) -> tuple[Array, Array]:
    """Records whose chains had equilibrated."""
    if not has(run, "llc", "llc_equilibrated"):
        return np.empty(0), np.empty(0)
    steps, values = curve(run, "llc")
    at, is_settled = curve(run, "llc_equilibrated")
    kept = np.isin(steps, at[is_settled == 1])
    return steps[kept], values[kept]


def settled(members: tuple[MemberRun, ...]) -> str:
    there = sum(len(run.curves["llc"].steps) for run in members if "llc" in run.curves)
    good = sum(len(settled_curve(run)[0]) for run in members)
    return f"chains had settled at {good} of {there} records"


def with_curvature(runs: StudyRuns, role: str) -> list[Finding]:
    """Spearman's rho over the records of a network, its mean over seeds against a declared one.

    Two curves with a trend correlate whatever their cause: the note has rho of the changes between records.
    """
    made, least = [], runs.margin("rank")
    for column, words in CURVATURE.items():
        members = [run for run in runs[role].runs if has(run, "llc", column)]
        if not members:
            continue
        both = [pair for run in members if (pair := ranks(run, column)) is not None]
        levels, changes = (np.array([pair[k] for pair in both]) for k in (0, 1))
        finite = changes[np.isfinite(changes)]
        said = settled(tuple(members))
        said += f"; rho of changes {finite.mean():.2g} (mean over seeds)" if len(finite) else ""
        made.append(
            above(
                runs,
                levels,
                least,
                unit="",
                margin=least,
                roles=(role,),
                claim=f"{role}: the LLC goes with {words} over training, Spearman's rho above {least:g}",
                null=f"rho is {least:g} or less",
                note=said,
            )
        )
    return made


def ranks(run: MemberRun, column: str) -> tuple[float, float] | None:
    """rho of values, and of their changes from record to record; None with too few settled records."""
    steps, values = settled_curve(run)
    at, other = curve(run, column)
    shared = np.intersect1d(steps, at)
    if len(shared) < FEWEST_RECORDS:
        return None
    a, b = values[np.isin(steps, shared)], other[np.isin(at, shared)]
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    da, db = np.diff(a), np.diff(b)
    changes = spearmanr(da, db).statistic if np.ptp(da) > 0 and np.ptp(db) > 0 else math.nan
    return float(spearmanr(a, b).statistic), float(changes)
