"""Accelerators against controls that share optimiser, decay and effective rate: seed by seed."""

import math
from collections.abc import Sequence
from dataclasses import replace

from epochal.analysis import adjust, compare_arms
from epochal.analysis.runs.mean_against import untested
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding
from epochal.core.values.study_runs import ArmRuns, StudyRuns
from epochal.studies.modular_grokking.arms import Comparison
from epochal.studies.modular_grokking.laws import EVENT


def compared(runs: StudyRuns, comparisons: Sequence[Comparison]) -> list[Finding]:
    """One finding per comparison whose arms are there, corrected together by Holm's method."""
    there = [one for one in comparisons if one.treated in runs.arms and one.control in runs.arms]
    return adjust([against_control(runs, one) for one in there], alpha=runs.alpha)


def against_control(runs: StudyRuns, comparison: Comparison) -> Finding:
    """Steps saved up to the last step that both arms were observed at; what did not happen counts as then.

    A run that diverged never generalises.
    """
    treated, control = runs[comparison.treated], runs[comparison.control]
    horizon = observed_to(treated, control)
    claim = f"{comparison.accelerator} changes when networks generalise (control: {comparison.matched})"
    first, second = until(treated, horizon), until(control, horizon)
    counts = [sum(math.isfinite(high) for _, high in times) for times in (first, second)]
    try:
        finding = replace(
            compare_arms(
                first,
                second,
                horizon=horizon,
                seeds_1=treated.seeds,
                seeds_2=control.seeds,
                alpha=runs.alpha,
                unit="steps earlier",
            ),
            claim=claim,
            note=f"{counts[0]} of {len(treated)} networks generalise, {counts[1]} of {len(control)} of the "
            f"control, by step {horizon:g}{bound(counts[0] == len(treated), counts[1] == len(control))}",
        )
    except UserError as error:
        finding = untested(
            claim,
            len(treated),
            str(error),
            test="restricted mean",
            null="either run of a seed could be in either arm",
        )
    return runs.cited(finding, comparison.treated, comparison.control)


def bound(is_all: bool, is_all_of_control: bool) -> str:
    """What it means for the estimate that networks which did not generalise count as the last step."""
    if is_all and is_all_of_control:
        return ""
    if is_all:
        return "; what did not counts as then, so at least so many steps earlier"
    if is_all_of_control:
        return "; what did not counts as then, so at most so many steps earlier"
    return "; what did not counts as then, in both"


def observed_to(*arms: ArmRuns) -> float:
    """The last step at which all runs were observed that had not had the event before, or diverged.

    Where all had it, that of the latest.
    """
    waiting, seen = [], [1.0]
    for arm in arms:
        for (low, high), gone in zip(arm.times(EVENT), arm.has_diverged, strict=True):
            if math.isfinite(high):
                seen.append(high)
            elif not gone:
                waiting.append(low)
    return max(1.0, min(waiting)) if waiting else max(seen)


def until(arm: ArmRuns, horizon: float) -> list[tuple[float, float]]:
    """Times with later events censored at the horizon; a run that diverged has none, ever."""
    made = []
    for (low, high), gone in zip(arm.times(EVENT), arm.has_diverged, strict=True):
        if high <= horizon:
            made.append((low, high))
        else:
            made.append((math.inf, math.inf) if gone else (horizon, math.inf))
    return made
