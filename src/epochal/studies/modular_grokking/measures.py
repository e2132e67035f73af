"""Whether measures of progress move before validation accuracy does, and before a placebo."""

import math
from dataclasses import replace

import numpy as np

from epochal.analysis import Course, adjust, leads
from epochal.analysis.runs.mean_against import untested
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding
from epochal.core.values.study_runs import ArmRuns, MemberRun, StudyRuns
from epochal.studies.modular_grokking.arms import MEASURED

MEASURES = {
    "restricted_loss": "restricted loss",
    "excluded_loss": "excluded loss",
    "embedding_gini": "the embedding's Gini coefficient",
}
"""Columns and what they are called."""
RESULT = "val_accuracy"
PLACEBO = "val_loss"
PARTS = {"onset": 0.1, "midpoint": 0.5, "end": 0.9}


def led(runs: StudyRuns) -> list[Finding]:
    """One finding per measure, corrected together by Holm's method.

    The placebo is validation loss: it has the very cause of validation accuracy on a logarithmic scale, knows
    nothing of frequencies, and falls before accuracy rises just because it does not saturate. A measure that
    only does the same does not lead.
    """
    found = []
    for role in MEASURED:
        if role in runs.arms:
            arm = runs[role]
            found += [runs.cited(leading(arm, column, alpha=runs.alpha), role) for column in MEASURES]
    return adjust(found, alpha=runs.alpha)


def leading(arm: ArmRuns, column: str, *, alpha: float) -> Finding:
    claim = f"{MEASURES[column]} changes before validation accuracy, and before validation loss"
    try:
        found = leads(
            course(arm, column),
            course(arm, RESULT),
            placebo=course(arm, PLACEBO),
            record_interval=[record_interval(run) for run in arm.runs],
            alpha=alpha,
            names=(MEASURES[column], "validation accuracy", "validation loss"),
        )
        return replace(found, claim=claim)
    except UserError as error:
        return untested(
            claim,
            len(arm),
            str(error),
            test="six sign tests, the largest p",
            null="it is as often after as before",
        )


def course(arm: ArmRuns, column: str) -> Course:
    """When it had gone 10, 50 and 90% of the way from memorisation to the last record; NaN without either.

    Memorisation is where training accuracy passes 99%, the way that of the logarithm for a loss. A search for
    the clearest change would find another one: with commuting operands validation accuracy jumps while the
    network memorises, since it knows the mirrored pairs.
    """
    rows = [way(run, column) for run in arm.runs]
    onset, midpoint, end = ([row[part] for row in rows] for part in range(len(PARTS)))
    return Course(onset=onset, midpoint=midpoint, end=end)


def way(run: MemberRun, column: str) -> list[float]:
    """Steps of the three parts in one run that memorised and generalised."""
    start, curve = run.events["memorised"].high, run.curves.get(column)
    nothing = [math.nan] * len(PARTS)
    if curve is None or not math.isfinite(start) or not run.events["generalised"].found:
        return nothing
    steps, values = np.asarray(curve.steps, np.float64), np.asarray(curve.values, np.float64)
    if column.endswith("_loss"):
        values = np.log(np.where(values > 0, values, np.nan))
    kept = (steps >= start) & np.isfinite(values)
    steps, values = steps[kept], values[kept]
    if len(steps) < 2 or values[-1] == values[0]:
        return nothing
    gone = (values - values[0]) / (values[-1] - values[0])
    return [float(steps[np.argmax(gone >= share)]) for share in PARTS.values()]


def record_interval(run: MemberRun) -> float:
    """Steps between the records where it generalised: less is no lag."""
    event = run.events["generalised"]
    return event.high - event.low if event.found else 0.0
