"""Accuracies and penalties over training, and the grid of shortcut and noise."""

import math
from statistics import median

from epochal.core.values.figure import Axis, Cell, Colour, FigureSpec, Layer, Panel, Shades
from epochal.core.values.study_runs import StudyRuns
from epochal.studies.causal_grokking.arms import GRID, PENALTIES
from epochal.studies.causal_grokking.claims import of_arm, subjects
from epochal.studies.causal_grokking.events import ALIGNED, CONFLICTING, VAL, agreement, arrays
from epochal.studies.causal_grokking.tables import last

ACCURACIES = {VAL: "all", ALIGNED: "cue agrees", CONFLICTING: "cue disagrees"}
NAMES = {
    "train": "training",
    "held_out": "held out",
    "varying": "held out, cue differs",
    "placebo": "random parts",
}


def course_figure(runs: StudyRuns) -> FigureSpec:
    """Medians over seeds, an arm per row: validation accuracy by group left, penalties right."""
    rows: dict[str, list[Cell]] = {name: [] for name in ("arm", "what", "kind", "step", "value")}
    rho: dict[str, list[Cell]] = {"arm": [], "agreement": []}
    for role in subjects(runs):
        arm = runs[role]
        rho["arm"].append(role)
        rho["agreement"].append(median(agreement(run) for run in arm.runs))
        named = {**ACCURACIES, **{column: NAMES[name] for name, column in PENALTIES.items()}}
        for column, words in named.items():
            curves = [arrays(run.curves[column]) for run in arm.runs]
            longest = max(range(len(curves)), key=lambda k: len(curves[k][0]))
            for place, step in enumerate(curves[longest][0]):
                values = [v[place] for _, v in curves if len(v) > place and math.isfinite(v[place])]
                if values and (column in ACCURACIES or median(values) > 0):
                    kind = "accuracy" if column in ACCURACIES else "penalty"
                    for name, cell in zip(
                        rows, (role, words, kind, float(step), median(values)), strict=True
                    ):
                        rows[name].append(cell)
    tables: dict[str, dict[str, list[Cell]]] = {}
    panels = []
    x = Axis(label="step", unit="completed updates", scale="log")
    kinds = {
        "accuracy": Axis(label="validation accuracy", domain=(0.0, 1.0)),
        "penalty": Axis(label="penalty", unit="nat²", scale="log"),
    }
    for role in subjects(runs):
        for kind, y in kinds.items():
            chosen = [
                k
                for k, (a, b) in enumerate(zip(rows["arm"], rows["kind"], strict=True))
                if (a, b) == (role, kind)
            ]
            name = f"{kind}_{role}"
            tables[name] = {column: [cells[k] for k in chosen] for column, cells in rows.items()}
            layers = [Layer(mark="line", table=name, x="step", y="value", by="what", colour="what")]
            if kind == "accuracy":
                tables["agreement"] = rho
                layers.insert(0, Layer(mark="rule", table="agreement", y="agreement", where=("arm", role)))
            panels.append(
                Panel(
                    x=x,
                    y=y,
                    layers=tuple(layers),
                    title=role,
                    height=220,
                )
            )
    return FigureSpec(
        name="course",
        title="What is read, and what the penalty says",
        caption="Medians over seeds. The line across is the share of validation examples whose cue agrees "
        "with the target: where a network rests that reads nothing else. Penalties are those of environments "
        "that are bins of brightness, of the same images with the cue changed, and random parts of the "
        "training images.",
        tables=tables,
        panels=tuple(panels),
        colour=Colour(title="of", values=(*ACCURACIES.values(), *NAMES.values())),
        per_row=2,
    )


def grid_figure(runs: StudyRuns) -> FigureSpec:
    """In each cell of the grid: accuracy on conflicting examples at the end, and who got there how."""
    cells: dict[str, list[Cell]] = {name: [] for name in ("rho", "noise", "value", "text", "first", "count")}
    places = {"no_filter": (80, 0)} | {role: place_of(role) for role in GRID}
    for role, (rho, noise) in places.items():
        if role not in runs.arms:
            continue
        value = median(last(run, CONFLICTING) for run in runs[role].runs)
        seen = of_arm(runs, role, ())
        first = sum(one.gets_beyond(runs.margin("first")) for one in seen)
        row: list[Cell] = [f"{rho / 100:g}", f"{noise / 100:g}", value, f"{value:.2f}"]
        row += [first / len(seen), f"{first} of {len(seen)}"]
        for column, cell in zip(cells.values(), row, strict=True):
            column.append(cell)
    noises = tuple(sorted({str(value) for value in cells["noise"]}))
    rhos = tuple(sorted({str(value) for value in cells["rho"]}))
    return FigureSpec(
        name="grid",
        title="What is left of the core, and where a shortcut that was learnt first is broken through",
        caption="Without the filter. Left: accuracy on conflicting validation examples at the last record, "
        "median over seeds. A network that reads nothing but the cue has 0; one that reads nothing but the "
        "core has 1 minus the share of wrong targets. Right: the share of networks that learn the shortcut "
        f"first and break through it later: at memorisation right {runs.margin('first'):g} more often where "
        f"the cue agrees than where it does not, then a rise of {runs.margin('broken'):g} where it does not.",
        tables={"cells": cells},
        panels=tuple(
            Panel(
                x=Axis(label="share of agreeing cues", scale="category", order=rhos),
                y=Axis(label="share of wrong targets", scale="category", order=noises),
                layers=(
                    Layer(mark="cell", table="cells", x="rho", y="noise", colour=value),
                    Layer(mark="text", table="cells", x="rho", y="noise", text=text, colour=value),
                ),
                title=title,
                height=200,
            )
            for title, value, text in (
                ("right where the cue disagrees, at the end", "value", "text"),
                ("shortcut first, broken through later", "first", "count"),
            )
        ),
        colour=Shades(title="share", domain=(0.0, 1.0)),
        per_row=2,
    )


def place_of(role: str) -> tuple[int, int]:
    """``rho80_noise10`` is (80, 10), in percent."""
    rho, noise = role.removeprefix("rho").split("_noise")
    return int(rho), int(noise)
