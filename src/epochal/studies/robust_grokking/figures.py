"""The figure of the study: accuracies, local complexity and the coefficient of every arm."""

import numpy as np

from epochal.core.values.figure import Axis, Cell, Colour, FigureSpec, Layer, Panel, Table
from epochal.core.values.study_runs import ArmRuns, StudyRuns
from epochal.studies.robust_grokking.arms import COURSES, SPLITS
from epochal.studies.robust_grokking.coefficient import settled_curve
from epochal.studies.robust_grokking.curves import Array, curve, has
from epochal.studies.robust_grokking.phases import TOTAL

STEP = Axis(label="step", unit="completed updates", scale="symlog")


def courses_figure(runs: StudyRuns) -> FigureSpec:
    """Per arm three panels, on the same steps."""
    rows: dict[str, list[Cell]] = {name: [] for name in ("arm", "panel", "curve", "step", "value")}
    for role, arm in runs.arms.items():
        course = COURSES[role]
        shown = [("accuracy", course.words[0], course.first), ("accuracy", course.words[1], course.then)]
        shown += [("complexity", f"{split} points", TOTAL + split) for split in SPLITS]
        for panel, name, column in (*shown, ("llc", "LLC, settled", "llc")):
            if not all(has(run, column) for run in arm.runs):
                continue
            curves = [settled_curve(run) if column == "llc" else curve(run, column) for run in arm.runs]
            for step, value in medians(curves, arm):
                cells: tuple[Cell, ...] = (role, panel, name, step, value)
                for key, cell in zip(rows, cells, strict=True):
                    rows[key].append(cell)
    tables: dict[str, Table] = {}
    panels = []
    labels = {"accuracy": "accuracy", "complexity": "local complexity", "llc": "LLC"}
    for role in runs.arms:
        for panel, label in labels.items():
            places = zip(rows["arm"], rows["panel"], strict=True)
            kept = [i for i, place in enumerate(places) if place == (role, panel)]
            tables[f"{role}_{panel}"] = {c: [rows[c][i] for i in kept] for c in ("curve", "step", "value")}
            scale = Axis(label=label, domain=(0.0, 1.0)) if panel == "accuracy" else Axis(label=label)
            name = f"{role}_{panel}"
            layer = Layer(mark="line", table=name, x="step", y="value", by="curve", colour="curve")
            dots = Layer(mark="point", table=name, x="step", y="value", colour="curve")
            layers = (layer, dots) if panel == "llc" else (layer,)
            panels.append(Panel(x=STEP, y=scale, layers=layers, title=role, height=180))
    return FigureSpec(
        name="robust-grokking",
        title="Accuracies, local complexity and the local learning coefficient, all arms",
        caption="Medians over the seeds of an arm; the LLC of those whose chains had settled. Local "
        "complexity: units cut near training, validation and random points, all layers together.",
        tables=tables,
        panels=tuple(panels),
        colour=Colour(title="", values=tuple(dict.fromkeys(str(name) for name in rows["curve"]))),
        per_row=3,
    )


def medians(curves: list[tuple[Array, Array]], arm: ArmRuns) -> list[tuple[int, float]]:
    """At each step at which half of the networks, or more, have a value."""
    steps = sorted({int(step) for at, _ in curves for step in at})
    made = []
    for step in steps:
        values = [float(v[at == step][0]) for at, v in curves if (at == step).any()]
        if 2 * len(values) >= len(arm):
            made.append((step, float(np.median(values))))
    return made
