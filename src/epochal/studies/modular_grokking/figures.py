"""The four questions as pictures: every network a point, what did not happen a triangle."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from epochal.core.values.figure import Axis, Cell, FigureSpec, Layer, Panel
from epochal.core.values.study_runs import ArmRuns, StudyRuns
from epochal.studies.modular_grokking.arms import DECAYS, FRACTIONS, MEASURED, UNDECAYED, Comparison
from epochal.studies.modular_grokking.laws import EVENT, law, log_of
from epochal.studies.modular_grokking.measures import MEASURES, PARTS, PLACEBO, RESULT, course

STEP = Axis(label="step", unit="completed updates", scale="log")
LATE = "Triangles: not by that step."
CURVES = {
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
    "restricted_loss": "restricted loss",
    "excluded_loss": "excluded loss",
    "embedding_gini": "Gini coefficient",
}
ON_LOG = ("val_loss", "restricted_loss", "excluded_loss")


def law_figure(runs: StudyRuns, *, slope: bool) -> FigureSpec:
    """Every network's step against the arms' condition, with the fitted line."""
    conditions, name = (FRACTIONS, "step-against-data") if slope else (DECAYS, "step-against-decay")
    there = {role: value for role, value in conditions.items() if role in runs.arms}
    points: dict[str, dict[str, list[Cell]]] = {
        table: {"x": [], "step": [], "seed": []} for table in ("reached", "late")
    }
    for role, value in there.items():
        for seed, (low, high) in zip(runs[role].seeds, runs[role].times(EVENT), strict=True):
            table = points["reached" if math.isfinite(high) else "late"]
            table["x"].append(value)
            table["step"].append((low + high) / 2 if math.isfinite(high) else max(low, 1.0))
            table["seed"].append(seed)
    tables: dict[str, Mapping[str, list[Cell]]] = {**points}
    layers = [
        Layer(mark="point", table="reached", x="x", y="step", hover={"seed": "seed"}),
        Layer(mark="point", table="late", x="x", y="step", shape="arrow_up", hover={"seed": "seed"}),
    ]
    found = law(runs, conditions, is_exponential=slope, level=0.95)
    if isinstance(found, str):
        fit = f"No line: {found}."
    else:
        xs = np.linspace(min(there.values()), max(there.values()), 40)
        line = np.exp(found.intercept + found.exponent * (xs if slope else np.log(xs)))
        tables["line"] = {"x": xs.tolist(), "step": line.tolist()}
        layers.insert(0, Layer(mark="line", table="line", x="x", y="step", emphasis="strong"))
        fit = f"Line: maximum likelihood, its {'slope' if slope else 'exponent'} {found.exponent:.3g} "
        fit += f"[{found.low:.3g}, {found.high:.3g}]{' % per percentage point' if slope else ''}."
    values = list(there.values())
    x = (
        Axis(label="train_fraction", domain=(min(values) - 0.03, max(values) + 0.03))
        if slope
        else Axis(label="weight_decay", scale="log", domain=(min(values) / 1.15, max(values) * 1.15))
    )
    return FigureSpec(
        name=name,
        title=f"Step of generalisation against {x.label}",
        caption=f"First record with 99% validation accuracy, per network. {fit} {LATE}",
        tables=tables,
        panels=(Panel(x=x, y=step_axis(tables), layers=tuple(layers), height=300),),
        per_row=1,
    )


def step_axis(tables: Mapping[str, Mapping[str, list[Cell]]]) -> Axis:
    """With room beyond the first and the last step."""
    steps = [float(str(step)) for table in tables.values() for step in table["step"]]
    return replace(STEP, domain=(min(steps) / 1.1, max(steps) * 1.1)) if steps else STEP


def accelerator_figure(runs: StudyRuns, comparisons: tuple[Comparison, ...]) -> FigureSpec:
    """Times of every network, arm by arm, controls among them."""
    there = [one for one in comparisons if one.treated in runs.arms and one.control in runs.arms]
    names: dict[str, str] = {}
    for one in there:
        names[one.treated] = one.accelerator + (", no decay" if one.matched == UNDECAYED else "")
        names.setdefault(one.control, control_name(one.control))
    points: dict[str, dict[str, list[Cell]]] = {
        table: {"arm": [], "step": [], "seed": []} for table in ("reached", "late", "medians")
    }
    for role, name in names.items():
        arm = runs[role]
        middles = [(low + high) / 2 for low, high in arm.times(EVENT)]
        for seed, (low, high) in zip(arm.seeds, arm.times(EVENT), strict=True):
            table = points["reached" if math.isfinite(high) else "late"]
            table["arm"].append(name)
            table["step"].append((low + high) / 2 if math.isfinite(high) else max(low, 1.0))
            table["seed"].append(seed)
        if math.isfinite(median := float(np.median(middles))):
            points["medians"]["arm"].append(name)
            points["medians"]["step"].append(median)
            points["medians"]["seed"].append("median")
    order = tuple(reversed(names.values()))
    return FigureSpec(
        name="accelerators",
        title="When networks generalise, with and without each accelerator",
        caption=f"First record with 99% validation accuracy, per network; rings: medians. {LATE}",
        tables=points,
        panels=(
            Panel(
                x=step_axis(points),
                y=Axis(label="", scale="category", order=order),
                layers=(
                    Layer(mark="point", table="reached", x="step", y="arm", hover={"seed": "seed"}),
                    Layer(
                        mark="point", table="late", x="step", y="arm", shape="arrow", hover={"seed": "seed"}
                    ),
                    Layer(
                        mark="point", table="medians", x="step", y="arm", shape="ring", emphasis="strong"
                    ),
                ),
                height=max(140, 26 * len(order)),
            ),
        ),
        per_row=1,
    )  # fmt: skip


def control_name(role: str) -> str:
    if role.endswith("_rate"):
        return "control: rate x 3, decay / 3"
    return "control" + {
        "grokfast_off": ": no filter",
        "undecayed": ": no decay",
        "small_undecayed": ": no decay",
    }.get(role, "")


def lag_figure(runs: StudyRuns) -> FigureSpec:
    """How much earlier than validation accuracy each measure, and the placebo, changes."""
    arm = measured(runs)
    result = course(arm, RESULT)
    rows: dict[str, list[Cell]] = {"measure": [], "lag": [], "part": [], "seed": []}
    named = {**MEASURES, PLACEBO: "placebo: validation loss"}
    for column, name in named.items():
        own = course(arm, column)
        for part in PARTS:
            for seed, mine, other in zip(arm.seeds, getattr(own, part), getattr(result, part), strict=True):
                if math.isfinite(lag := other - mine):
                    rows["measure"].append(name)
                    rows["lag"].append(lag)
                    rows["part"].append(part)
                    rows["seed"].append(seed)
    order = tuple(reversed(named.values()))
    return FigureSpec(
        name="lags-of-measures",
        title="How many steps earlier than validation accuracy",
        caption="Per network that generalised: right of the line the measure is earlier. Onset, midpoint and "
        "end are at 10, 50 and 90% of the way from memorisation to the last record, of the logarithm for a "
        "loss. A measure leads if it is right of the line and of the placebo at all three.",
        tables={"lags": rows, "none": {"lag": [0.0]}},
        panels=tuple(
            Panel(
                title=part,
                x=Axis(label="lag", unit="steps"),
                y=Axis(label="", scale="category", order=order),
                layers=(
                    Layer(mark="rule", table="none", x="lag"),
                    Layer(
                        mark="point", table="lags", x="lag", y="measure", where=("part", part),
                        hover={"seed": "seed"},
                    ),
                ),
                height=150,
            )
            for part in PARTS
        ),
        per_row=1,
    )  # fmt: skip


def measure_figure(runs: StudyRuns) -> FigureSpec:
    """The curves behind the lags, one line per network."""
    arm = measured(runs)
    tables: dict[str, dict[str, list[Cell]]] = {}
    panels = []
    for column, words in CURVES.items():
        rows: dict[str, list[Cell]] = {"step": [], "value": [], "seed": []}
        for run in arm.runs:
            curve = run.curves.get(column)
            for step, value in zip(curve.steps, curve.values, strict=True) if curve else ():
                rows["step"].append(max(step, 1))
                # A logarithmic axis has no place for a loss of 0.
                rows["value"].append(value if column not in ON_LOG or log_of(value) > -20 else math.nan)
                rows["seed"].append(str(run.seed))
        tables[column] = rows
        scale = Axis(label=words, unit="nat", scale="log") if column in ON_LOG else Axis(label=words)
        panels.append(
            Panel(
                x=STEP,
                y=scale,
                layers=(Layer(mark="line", table=column, x="step", y="value", by="seed", emphasis="faint"),),
                height=170,
            )
        )
    return FigureSpec(
        name="measures",
        title="Measures of progress beside validation accuracy",
        caption="One line per network. Restricted loss keeps the key frequencies of the logits alone, "
        "excluded loss takes them out; the Gini coefficient is that of the embedding's spectrum.",
        tables=tables,
        panels=tuple(panels),
    )


def measured(runs: StudyRuns) -> ArmRuns:
    return runs[next(role for role in MEASURED if role in runs.arms)]
