"""The penalty as a cause, and what knows the groups: who is served at the end under which objective."""

import math
from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from epochal.analysis.runs.centre import mean_by_t
from epochal.analysis.runs.mean_against import mean_beyond, untested
from epochal.core.values.finding import Finding
from epochal.core.values.result_table import Entry, ResultTable
from epochal.core.values.study_runs import ArmRuns, MemberRun, StudyRuns
from epochal.studies.causal_grokking.arms import AGAINST, PENALTIES
from epochal.studies.causal_grokking.claims import FEWEST
from epochal.studies.causal_grokking.events import CONFLICTING, VAL, arrays

Array = NDArray[np.float64]

WORST = "worst_group_accuracy"
RETRAINED, RETRAINED_WORST = "dfr_accuracy", "dfr_worst_group_accuracy"
"""With another read-out on the same features, of the half of validation that it was not fitted to."""


def of_objectives(runs: StudyRuns) -> Iterator[Finding]:
    """Each other objective, and the retrained read-out, against the usual objective on the same data."""
    for role, usual in AGAINST.items():
        if role in runs.arms:
            yield gained(runs, role, usual)
    for usual in usual_arms(runs):
        yield retrained(runs, usual)


def usual_arms(runs: StudyRuns) -> list[str]:
    return [role for role in dict.fromkeys(AGAINST.values()) if role in runs.arms]


def gained(runs: StudyRuns, role: str, usual: str) -> Finding:
    """Accuracy on conflicting examples at the end, seed by seed on the same data."""
    gains = differences(runs[role], CONFLICTING, runs[usual], CONFLICTING)
    found = above(
        gains,
        runs.margin("gain"),
        runs.alpha,
        claim=f"{role} ends at least {runs.margin('gain'):g} above {usual} on examples whose cue disagrees",
        note=f"{usual} ends at {mean_of(runs[usual], CONFLICTING):.3f}",
    )
    return runs.cited(found, role, usual)


def retrained(runs: StudyRuns, usual: str) -> Finding:
    """Whether the features hold the core where the read-out does not: its worst group with another one."""
    arm = runs[usual]
    found = above(
        differences(arm, RETRAINED_WORST, arm, WORST),
        runs.margin("gain"),
        runs.alpha,
        claim=f"with its last layer retrained {usual} ends at least {runs.margin('gain'):g} higher in the "
        "worst group",
        note=f"as trained {mean_of(arm, WORST):.3f}; retrained it is measured on half of the images, whose "
        "smaller groups have a lower minimum by chance",
    )
    return runs.cited(found, usual)


def above(gains: Array, least: float, alpha: float, *, claim: str, note: str) -> Finding:
    """A one-sided paired t test that the mean gain is more than a margin."""
    kept = gains[np.isfinite(gains)]
    if len(kept) < FEWEST:
        return untested(claim, len(gains), "too few networks with a last record")
    return mean_beyond(
        kept,
        least,
        alpha=alpha,
        claim=claim,
        null=f"a gain of {least:g} or less",
        test="paired t of the last record",
        margin=least,
        note=note,
        least_sd=1e-6,
    )


def objectives_table(runs: StudyRuns) -> ResultTable:
    """Who is served at the end, under each objective and with another read-out; means over seeds."""
    rows: list[tuple[Entry, ...]] = []
    for usual in usual_arms(runs):
        arm = runs[usual]
        rows.append(_row(runs, usual, None))
        again = differences(arm, RETRAINED_WORST, arm, WORST)
        ends = (mean_of(arm, RETRAINED), None, mean_of(arm, RETRAINED_WORST))
        rows.append(
            (
                f"{usual}, last layer retrained",
                len(arm),
                *map(_shown, ends),
                interval(again, runs.alpha),
                "as above",
            )
        )
        rows += [
            _row(runs, role, usual) for role, other in AGAINST.items() if other == usual and role in runs.arms
        ]
    return ResultTable(
        name="objectives",
        title="Who is served under each objective, and with another read-out",
        columns=(
            "arm", "networks", "all", "conflicting", "worst group",
            "worst group above usual", "held-out penalty",
        ),
        rows=tuple(rows),
        note="Validation accuracy at the last record, mean over seeds; penalties are medians. Above usual: "
        f"paired by seed, with its interval of level {1 - 2 * runs.alpha:g}. Retrained: a logistic read-out "
        "of the trained features, fitted to one half of the validation images with equal weight for every "
        "group, measured on the other; it knows groups that erm, irm and vrex do not.",
    )  # fmt: skip


def _row(runs: StudyRuns, role: str, usual: str | None) -> tuple[Entry, ...]:
    arm = runs[role]
    gain = None if usual is None else interval(differences(arm, WORST, runs[usual], WORST), runs.alpha)
    ends = (mean_of(arm, column) for column in (VAL, CONFLICTING, WORST))
    penalties = [value for run in arm.runs if math.isfinite(value := end_of(run, PENALTIES["held_out"]))]
    return (role, len(arm), *map(_shown, ends), gain, f"{median(penalties):.2g}" if penalties else None)


def differences(one: ArmRuns, column: str, other: ArmRuns, other_column: str) -> Array:
    """Of the last records, by seed; those of seeds that both have."""
    ends = [
        {run.seed: end_of(run, name) for run in arm.runs}
        for arm, name in ((one, column), (other, other_column))
    ]
    return np.array([ends[0][seed] - ends[1][seed] for seed in sorted(ends[0].keys() & ends[1].keys())])


def interval(values: Sequence[float] | Array, alpha: float) -> str | None:
    """``+0.12 [0.05, 0.19]``; None for fewer than three networks."""
    kept = np.asarray(values, np.float64)
    kept = kept[np.isfinite(kept)]
    if len(kept) < FEWEST:
        return None
    centre = mean_by_t(kept, least_sd=1e-6)
    low, high = centre.interval(alpha)
    return f"{centre.estimate:+.3f} [{low:.3f}, {high:.3f}]"


def end_of(run: MemberRun, column: str) -> float:
    """At the last record; NaN where it was not measured."""
    if column not in run.curves:
        return math.nan
    values = arrays(run.curves[column])[1]
    return float(values[-1]) if len(values) else math.nan


def mean_of(arm: ArmRuns, column: str) -> float:
    known = [value for run in arm.runs if math.isfinite(value := end_of(run, column))]
    return float(np.mean(known)) if known else math.nan


def _shown(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 3)
