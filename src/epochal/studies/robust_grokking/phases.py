"""Does local complexity descend, ascend and descend again, the last together with the late rise?"""

import math
from dataclasses import dataclass

import numpy as np

from epochal.analysis.runs.coupling import coupling
from epochal.analysis.runs.same_time import same_time
from epochal.core.values.finding import Finding
from epochal.core.values.study_runs import MemberRun, StudyRuns
from epochal.experiments.images.presets import COMPLEXITY_LABELS
from epochal.studies.robust_grokking.arms import COURSES, NORMS
from epochal.studies.robust_grokking.claims import FEWEST, above, unknown
from epochal.studies.robust_grokking.curves import Array, between, curve, has
from epochal.studies.robust_grokking.robustness import rises

TOTAL = "local_complexity_total"


@dataclass(frozen=True, kw_only=True)
class Phases:
    """Three changes of the logarithm in a row, chosen so that the smallest is as large as can be."""

    changes: tuple[float, float, float]
    """First descent, ascent, last descent; none is negative."""
    last_half: tuple[float, float]
    """(record before, record) where half of the last descent is done, on the logarithm."""

    @property
    def least(self) -> float:
        return min(self.changes)


def phases(steps: Array, values: Array) -> Phases:
    """Over all pairs of a low record and a later high one: down to the low, up to the high, down again."""
    logs = np.log(np.maximum(values, 1e-12))
    before, after = np.maximum.accumulate(logs), np.minimum.accumulate(logs[::-1])[::-1]
    down, up, again = (before - logs)[:, None], logs[None, :] - logs[:, None], (logs - after)[None, :]
    least = np.minimum(np.minimum(down, up), again)
    least[np.tril_indices(len(logs))] = -np.inf  # the high comes after the low
    low, high = (int(i) for i in np.unravel_index(int(np.argmax(least)), least.shape))
    half = high + int(np.argmax(logs[high:] <= (logs[high] + after[high]) / 2))
    changes = (float(down[low, 0]), float(max(0.0, up[low, high])), float(again[0, high]))
    return Phases(changes=changes, last_half=between(steps, half))


def of_run(run: MemberRun, split: str) -> Phases | None:
    """None where fewer than four positive records leave nothing to look for."""
    steps, values = curve(run, TOTAL + COMPLEXITY_LABELS[split])
    positive = values > 0
    return phases(steps[positive], values[positive]) if positive.sum() >= 4 else None


def three_phases(runs: StudyRuns, role: str) -> list[Finding]:
    """For each kind of points: the smallest of the three changes, as a factor, by t over seeds."""
    made, factor = [], runs.margin("phase")
    for split in COMPLEXITY_LABELS:
        members = [run for run in runs[role].runs if has(run, TOTAL + COMPLEXITY_LABELS[split])]
        found = [one for run in members if (one := of_run(run, split)) is not None]
        if not members:
            continue
        least = np.array([one.least for one in found])
        shown = sum(one.least >= math.log(factor) for one in found)
        each = (
            [f"{math.exp(np.median([one.changes[k] for one in found])):.3g}" for k in range(3)]
            if found
            else []
        )
        made.append(
            above(
                runs,
                least,
                math.log(factor),
                is_log=True,
                margin=factor,
                unit="times",
                roles=(role,),
                claim=f"{role}: local complexity at {split} points falls, rises and falls again, each at "
                f"least {factor:g}-fold",
                null=f"the smallest of the three is {factor:g}-fold or less",
                note=f"shown in {shown} of {len(found)}; medians {', '.join(each)}-fold",
            )
        )
    return made


def together(runs: StudyRuns, role: str) -> list[Finding]:
    """The last descent at training points and the late rise: at the same time, coupled from run to run."""
    course, least = COURSES[role], math.log(runs.margin("phase"))
    members = runs[role].runs
    if not all(has(run, TOTAL) for run in members):
        return []
    found = [of_run(run, "train") for run in members]
    falls = [one.last_half if one and one.least >= least else (last(run), math.inf)
             for one, run in zip(found, members, strict=True)]  # fmt: skip
    late = [rise.half for rise in rises(runs, role)]
    both = sum(math.isfinite(a[1]) and math.isfinite(b[1]) for a, b in zip(falls, late, strict=True))
    names = (f"{role}: the last descent of local complexity", f"half of the rise of {course.words[1]}")
    if both < FEWEST:
        said = f"not shown: both are shown in {both} of {len(members)} networks, too few for times"
        return [
            unknown(
                runs, claim=f"{names[0]} and {names[1]} {what}", null="none was tested", note=said,
                num_runs=len(members), roles=(role,),
            )
            for what in ("happen at the same time", "are coupled across runs")
        ]  # fmt: skip
    a, b, alpha = np.array(falls), np.array(late), runs.alpha
    most = runs.margin("decades")
    found_lag = same_time(
        decades(a), decades(b), margin=most, alpha=alpha, names=names, unit="decades", power=None
    )
    found_tau = coupling(a, b, alpha=alpha, names=names, power=None)
    return [runs.cited(found_lag, role), runs.cited(found_tau, role)]


def decades(times: Array) -> Array:
    """log10 of steps; a time before the first update counts as step 1."""
    return np.log10(np.maximum(times, 1.0))


def last(run: MemberRun) -> float:
    return float(curve(run, TOTAL)[0][-1])


def under_batch_norm(runs: StudyRuns) -> list[Finding]:
    """Batch norm is said to suppress the migration: the smallest of the three changes is smaller with it."""
    made = []
    for without, norm in NORMS:
        if without in runs.arms and norm in runs.arms:
            pairs = [
                (a, b) for one, other in zip(runs[without].runs, runs[norm].runs, strict=True)
                if one.seed == other.seed and (a := of_run(one, "train")) and (b := of_run(other, "train"))
            ]  # fmt: skip
            made.append(
                above(
                    runs,
                    np.array([a.least - b.least for a, b in pairs]),
                    0.0,
                    is_log=True,
                    unit="times",
                    roles=(without, norm),
                    claim=f"{norm}: the three phases of local complexity are smaller than in {without}",
                    null="they are as large or larger",
                    note="of the smallest of the three, seed by seed",
                )
            )
    return made
