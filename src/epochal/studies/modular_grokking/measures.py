"""Whether measures of progress move before validation accuracy does, and before a placebo."""

import math
from dataclasses import replace

from epochal.analysis import Course, adjust, leads
from epochal.core.values.errors import UserError
from epochal.core.values.event import Event
from epochal.core.values.finding import Finding
from epochal.core.values.study_runs import ArmRuns, StudyRuns
from epochal.studies.modular_grokking.arms import MEASURED

MEASURES = {
    "restricted": "restricted loss",
    "excluded": "excluded loss",
    "gini": "the embedding's Gini coefficient",
}
"""Detectors and what they read."""
RESULT = "accuracy_course"
PLACEBO = "val_loss_course"
PARTS = ("onset", "midpoint", "end")


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
            found += [runs.cited(leading(arm, name, alpha=runs.alpha), role) for name in MEASURES]
    return adjust(found, alpha=runs.alpha)


def leading(arm: ArmRuns, name: str, *, alpha: float) -> Finding:
    claim = f"{MEASURES[name]} changes before validation accuracy, and before validation loss"
    try:
        found = leads(
            course(arm.events(name)),
            course(arm.events(RESULT)),
            placebo=course(arm.events(PLACEBO)),
            alpha=alpha,
            names=(MEASURES[name], "validation accuracy", "validation loss"),
        )
        return replace(found, claim=claim)
    except UserError as error:
        return Finding(
            claim=claim, test="six sign tests, the largest p", estimate=None, num_runs=len(arm),
            null="it is as often after as before", p=None, verdict="undecided", note=str(error),
        )  # fmt: skip


def course(events: list[Event]) -> Course:
    """Where a transition is known to lie between two records only, its step stands for all of it."""
    parts: dict[str, list[float]] = {part: [] for part in PARTS}
    for event in events:
        ends = (event.onset, event.step, event.end) if event.found else (math.nan,) * 3
        for part, step in zip(PARTS, ends, strict=True):
            parts[part].append(event.step if event.found and math.isnan(step) else step)
    return Course(onset=parts["onset"], midpoint=parts["midpoint"], end=parts["end"])
