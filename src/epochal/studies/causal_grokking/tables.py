"""What every arm did, and what CausalGrok's detector says of every network beside what we do."""

import math
from collections.abc import Iterator, Sequence
from statistics import mean, median

import numpy as np

from epochal.analysis.curves.heuristics import causalgrok_grokking_row, causalgrok_irm_drop_row
from epochal.core.values.event import Event
from epochal.core.values.result_table import Entry, ResultTable
from epochal.core.values.study_runs import ArmRuns, MemberRun, StudyRuns
from epochal.studies.causal_grokking.arms import PENALTIES
from epochal.studies.causal_grokking.claims import of_arm, of_runs, subjects
from epochal.studies.causal_grokking.events import CONFLICTING, VAL, agreement, arrays, beginning
from epochal.studies.causal_grokking.objectives import objectives_table


def tables(runs: StudyRuns) -> Iterator[ResultTable]:
    yield every_arm(runs)
    yield objectives_table(runs)
    yield beside(runs)


def every_arm(runs: StudyRuns) -> ResultTable:
    """Transition or none, arm by arm; means over seeds, of steps and penalties medians."""
    return ResultTable(
        name="arms",
        title="What each condition does",
        columns=(
            "arm", "networks", "agreement", "shortcut first", "rests at", "conflicting there", "jumps",
            "broken through", "at step", "conflicting at the end", "held-out penalty", "its detector fires",
        ),
        rows=tuple(_row(runs, arm) for arm in with_beginning(runs)),
        note="Shortcut first: right at memorisation at least "
        f"{runs.margin('first'):g} more often where the cue agrees than where it does not. Rests at: "
        "validation from memorisation to the jump, or to the end where there is none. Conflicting: accuracy "
        "on examples whose cue disagrees with the target. Jumps: validation, after memorisation. Broken "
        "through: a rise on conflicting examples, after memorisation. Held-out penalty: at memorisation and "
        "at the end. Its detector: CausalGrok's.",
    )  # fmt: skip


def with_beginning(runs: StudyRuns) -> Iterator[ArmRuns]:
    """Every arm, and after the recipe its beginning: the condition of fewer epochs."""
    for role, arm in runs.arms.items():
        yield arm
        if role == "recipe":
            part = runs.margin("short")
            yield beginning(arm, part, f"recipe, first {part:g} of the epochs")


def _row(runs: StudyRuns, arm: ArmRuns) -> tuple[Entry, ...]:
    seen = of_runs(runs, arm, ())
    rest = [one.rest.value for one in seen if math.isfinite(one.rest.value)]
    there = [one.conflicting for one in seen if math.isfinite(one.conflicting)]
    at = [one.broken.step for one in seen if one.broken.found]
    fires = sum(row_of_jump(run) is not None for run in arm.runs)
    return (
        arm.role,
        len(arm),
        _rounded([agreement(run) for run in arm.runs]),
        f"{sum(one.learns_it_first(runs.margin('first')) for one in seen)} of {len(arm)}",
        _rounded(rest),
        _rounded(there),
        f"{sum(one.jump.found for one in seen)} of {len(arm)}",
        f"{len(at)} of {len(arm)}",
        round(median(at)) if at else None,
        _rounded([last(run, CONFLICTING) for run in arm.runs]),
        _ratio(arm),
        f"{fires} of {len(arm)}",
    )


def beside(runs: StudyRuns) -> ResultTable:
    """Of the arms in which the claim is looked for, network by network."""
    rows = []
    for role in subjects(runs):
        for run, one in zip(runs[role].runs, of_arm(runs, role), strict=True):
            jump_row, drop_row = row_of_jump(run), row_of_drop(run)
            steps = arrays(run.curves[VAL])[0]
            its = [math.nan if row is None else float(steps[row]) for row in (jump_row, drop_row)]
            rows.append(
                (
                    role,
                    run.seed,
                    shown(one.jump),
                    shown(one.drops[PENALTIES["train"]]),
                    shown(one.drops[PENALTIES["held_out"]]),
                    "none" if jump_row is None else f"{its[0]:g}",
                    "none" if drop_row is None else f"{its[1]:g}",
                    "none" if math.isnan(its[0] + its[1]) else f"{abs(its[1] - its[0]):g}",
                )
            )
    return ResultTable(
        name="beside_causalgrok",
        title="Beside CausalGrok's detector",
        columns=(
            "arm", "seed", "jump", "drop, training", "drop, held out", "its grokking", "its drop", "its gap",
        ),
        rows=tuple(rows),
        note="Steps; in brackets the interval. Ours are transitions after memorisation. Its grokking: the "
        "first record .05 above the best before it after eight of ten within .01; its drop: the largest "
        "change of the penalty of training environments between two records, up or down, which there "
        "always is.",
    )  # fmt: skip


def row_of_jump(run: MemberRun) -> int | None:
    return causalgrok_grokking_row(arrays(run.curves[VAL])[1])


def row_of_drop(run: MemberRun) -> int | None:
    values = arrays(run.curves[PENALTIES["train"]])[1]
    return causalgrok_irm_drop_row(values) if len(values) > 1 else None


def shown(event: Event) -> str:
    """``1240 [1180, 1300]``, or none."""
    if not event.found:
        return "none"
    middle = event.step if math.isfinite(event.step) else event.high
    return f"{middle:.4g} [{event.low:.4g}, {event.high:.4g}]"


def last(run: MemberRun, column: str) -> float:
    return float(arrays(run.curves[column])[1][-1])


def _ratio(arm: ArmRuns) -> str:
    """Median penalty of held-out environments where training accuracy has passed .99, and at the end."""
    pairs = []
    for run in arm.runs:
        steps, values = arrays(run.curves[PENALTIES["held_out"]])
        event = run.events["memorised"]
        start = event.step if event.censored == "none" else event.high
        if (later := values[steps >= start]).size:
            pairs.append((float(later[0]), float(later[-1])))
    if not pairs:
        return "not memorised"
    first, end = (median(pair[k] for pair in pairs) for k in (0, 1))
    return f"{first:.2g} to {end:.2g}"


def _rounded(values: Sequence[float]) -> float | None:
    finite = [value for value in values if np.isfinite(value)]
    return round(mean(finite), 3) if finite else None
