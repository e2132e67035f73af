"""The figure of the study: accuracies, local complexity and the coefficient of every arm."""

from collections.abc import Mapping

import numpy as np

from epochal.core.values.figure import Axis, Cell, Colour, FigureSpec, Layer, Panel, Table
from epochal.core.values.study_runs import ArmRuns, StudyRuns
from epochal.experiments.images.presets import COMPLEXITY_LABELS
from epochal.studies.robust_grokking.arms import COURSES
from epochal.studies.robust_grokking.coefficient import settled_curve
from epochal.studies.robust_grokking.curves import Array, curve, has
from epochal.studies.robust_grokking.phases import TOTAL

STEP = Axis(label="step", unit="completed updates", scale="symlog")
KINDS = {"accuracy": "accuracy", "complexity": "local complexity", "llc": "LLC"}
COLUMNS = ("curve", "step", "value", "low", "high")


def courses_figure(runs: StudyRuns) -> FigureSpec:
    """A panel per arm for what was measured of it; panels of one kind follow each other."""
    tables: dict[str, Table] = {}
    panels = []
    for kind, label in KINDS.items():
        for role, arm in runs.arms.items():
            rows = [
                (name, *place) for name, column in _curves(kind, role) for place in _quartiles(arm, column)
            ]
            if not rows:
                continue
            table = f"{role}_{kind}"
            tables[table] = {name: [row[at] for row in rows] for at, name in enumerate(COLUMNS)}
            panels.append(
                Panel(
                    x=STEP,
                    y=Axis(label=label, domain=(0.0, 1.0) if kind == "accuracy" else None),
                    layers=_layers(table, has_dots=kind == "llc"),
                    title=role,
                    height=180,
                )
            )
    return FigureSpec(
        name="robust-grokking",
        title="Accuracies, local complexity and the local learning coefficient, all arms",
        caption="Medians over the seeds of an arm, with the middle half of seeds; the LLC of those whose "
        "chains had settled. Local complexity: units cut near training, validation and random points, all "
        "layers together.",
        tables=tables,
        panels=tuple(panels),
        colour=Colour(title="", values=_names(tables)),
    )


def _curves(kind: str, role: str) -> list[tuple[str, str]]:
    """Words and column of each curve of a panel."""
    course = COURSES[role]
    match kind:
        case "accuracy":
            return [(course.words[0], course.first), (course.words[1], course.then)]
        case "complexity":
            return [(f"{split} points", TOTAL + label) for split, label in COMPLEXITY_LABELS.items()]
        case _:
            return [("LLC, settled", "llc")]


def _layers(table: str, *, has_dots: bool) -> tuple[Layer, ...]:
    band = Layer(mark="band", table=table, x="step", y="low", y2="high", by="curve", colour="curve")
    line = Layer(mark="line", table=table, x="step", y="value", by="curve", colour="curve")
    dots = Layer(mark="point", table=table, x="step", y="value", colour="curve")
    return (band, line, dots) if has_dots else (band, line)


def _names(tables: Mapping[str, Table]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(name) for table in tables.values() for name in table["curve"]))


def _quartiles(arm: ArmRuns, column: str) -> list[tuple[Cell, ...]]:
    """Step, median, lower and upper quartile over networks, as long as half of them have a value; nothing
    where the column was not measured in all."""
    if not all(has(run, column) for run in arm.runs):
        return []
    curves: list[tuple[Array, Array]] = [
        settled_curve(run) if column == "llc" else curve(run, column) for run in arm.runs
    ]
    made: list[tuple[Cell, ...]] = []
    for step in sorted({int(step) for at, _ in curves for step in at}):
        values = [float(v[at == step][0]) for at, v in curves if (at == step).any()]
        if 2 * len(values) >= len(arm):
            low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
            made.append((step, middle, low, high))
    return made
