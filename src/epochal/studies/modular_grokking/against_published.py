"""The table at the end: published, ours, interval, verdict, for every published number an arm repeats."""

import math
from collections.abc import Sequence

import numpy as np

from epochal.core.values.result_table import Entry, ResultTable
from epochal.core.values.study_runs import ArmRuns, StudyRuns
from epochal.studies.modular_grokking.arms import DECAYS, FRACTIONS
from epochal.studies.modular_grokking.laws import law, median_interval
from epochal.studies.modular_grokking.published import (
    DECAY_EXPONENT,
    FACTOR,
    MIML,
    ROWS,
    SLOPE_PER_POINT,
    PublishedNever,
    PublishedStep,
)

COLUMNS = ("what", "published", "ours", "interval", "verdict", "source")


def against_published(runs: StudyRuns) -> ResultTable:
    """Rows of published steps whose arms are not in this form are told as not covered."""
    rows = [law_row(runs, slope=True), law_row(runs, slope=False)]
    rows += [row_of(runs, row) for row in ROWS]
    covered = sum(row[4] != "not covered" for row in rows)
    note = (
        f"Agrees: the median over seeds (a run that had not by its last record counts as never) lies "
        f"within a factor of {FACTOR:g} of the published number, most of which are single runs. Below "
        "six seeds the interval of a median is from the earliest to the latest, above that it holds the "
        "median with 95% or more; those of the laws are over seeds, 95%."
    )
    if covered < len(rows):
        note += (
            f" {len(rows) - covered} of {len(rows)} rows are not covered: the quick form trains a small "
            "network at p = 31, whose steps say nothing about the published ones. Its two laws are "
            "compared with theirs."
        )
    return ResultTable(
        name="published", title="Published and ours", columns=COLUMNS, rows=tuple(rows), note=note
    )


def law_row(runs: StudyRuns, *, slope: bool) -> tuple[Entry, ...]:
    what, published = (
        ("ln step of generalisation against data, % per percentage point", SLOPE_PER_POINT)
        if slope
        else ("exponent of the step of generalisation in weight decay", DECAY_EXPONENT)
    )
    found = law(runs, FRACTIONS if slope else DECAYS, is_exponential=slope, level=0.95)
    if isinstance(found, str):
        return what, f"{published:g}", "–", "–", "undecided", MIML
    return (
        what, f"{published:g}", f"{found.exponent:.3g}", f"{found.low:.3g} to {found.high:.3g}",
        agreement(found.exponent / published), MIML,
    )  # fmt: skip


def row_of(runs: StudyRuns, row: PublishedStep | PublishedNever) -> tuple[Entry, ...]:
    if isinstance(row, PublishedNever):
        published = f"not by step {row.step:,}"
    else:
        published = f"{row.step:,.0f}" + (f" (median of {row.num_runs})" if row.num_runs > 1 else "")
    if row.arm not in runs.arms:
        return row.what, published, "–", "–", "not covered", row.source
    arm = runs[row.arm]
    if isinstance(row, PublishedNever):
        return (row.what, published, *never(arm, row.detector), row.source)
    return (row.what, published, *step_of(arm, row), row.source)


def step_of(arm: ArmRuns, row: PublishedStep) -> tuple[str, str, str]:
    """Median, interval and verdict."""
    times = arm.times(row.detector)
    middles = [(low + high) / 2 for low, high in times]
    median = float(np.median(middles)) if middles else math.nan
    low, high = spread(times)
    last = min(low for low, high in times if math.isinf(high)) if math.isinf(max(middles)) else 0.0
    interval = f"{low:,.0f} to {f'{high:,.0f}' if math.isfinite(high) else f'after {last:,.0f}'}"
    if not math.isfinite(median):
        # The published event was later than we watched, in too many runs: nothing is known, or it is slower.
        verdict = "differs" if last > FACTOR * row.step else "undecided"
        return f"not by step {last:,.0f}", interval, verdict
    return f"{median:,.0f}", interval, agreement(median / row.step)


def never(arm: ArmRuns, detector: str) -> tuple[str, str, str]:
    """A single run with the event contradicts it."""
    times = arm.times(detector)
    happened = [high for _, high in times if math.isfinite(high)]
    if happened:
        return f"in {len(happened)} of {len(times)} runs", f"from step {min(happened):,.0f}", "differs"
    return f"in none of {len(times)} runs", f"by step {min(low for low, _ in times):,.0f}", "agrees"


def spread(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    low, high = median_interval(list(times), 0.025)
    if math.isinf(low) or (math.isinf(high) and low == -math.inf):
        return min(low for low, _ in times), max(high for _, high in times)
    return low, high


def agreement(ratio: float) -> str:
    return "agrees" if 1 / FACTOR <= ratio <= FACTOR else "differs"
