"""Clean and robust accuracy against the step, with local complexity beneath (Humayun et al. 2024, Fig. 1)."""

from typing import Literal

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Colour, FigureSpec, Panel
from epochal.report.complexity_columns import columns_of_complexity, is_array, radii
from epochal.report.curve_tables import as_table, step_axis
from epochal.report.curves import SPLITS
from epochal.report.figure import Options, figure, option
from epochal.report.named_curves import layers_of, places, scalars, with_labels
from epochal.report.reading import RunLike

ROBUST = "robust_accuracy"


class RobustnessOptions(Options):
    x: Literal["log", "linear"] = option("log", "scale of the steps; log has a place for 0")
    radius: str = option("", "of local complexity; none = a panel for each that was measured")


def robust_columns(run: RunLike) -> dict[str, str]:
    """``robust_accuracy`` with and without a label, where it was measured."""
    return {
        column: "robust" + (f" {label}" if (label := column.partition("@")[2]) else "")
        for column in run.metrics.columns
        if column.partition("@")[0] == ROBUST and run.metrics[column].drop_nulls().len()
    }


def on_page(run: RunLike) -> RobustnessOptions | None:
    return RobustnessOptions() if robust_columns(run) else None


@figure(
    "clean and robust accuracy against the step, and local complexity at each radius",
    options=RobustnessOptions,
    on_page=on_page,
    place=12,
)
def robustness(run: RunLike, options: RobustnessOptions) -> FigureSpec:
    robust = robust_columns(run)
    if not robust:
        raise UserError(
            f"{run.name} has no {ROBUST}: train with probes=loss,accuracy,{ROBUST}; on snapshots, "
            f"`epochal probe {run.name} {ROBUST}` prints it"
        )
    clean = {f"{split}_accuracy": words for split, words in SPLITS.items()}
    there = {column: words for column, words in clean.items() if column in run.metrics.columns}
    frame = with_labels(run, scalars(run, there | robust))
    tables, layers = layers_of(frame, "accuracy")
    x, order = step_axis(run, options.x), [*there.values(), *robust.values()]
    y = Axis(label="accuracy", unit="fraction correct", domain=(0.0, 1.0))
    panels = [Panel(x=x, y=y, layers=layers, title="accuracy", height=230)]
    for number, (radius, found) in enumerate(_totals(run, options.radius).items()):
        more, layers = layers_of(with_labels(run, found), f"complexity_{number}")
        tables |= more
        order += found["colour"].unique(maintain_order=True).to_list()
        title = f"local complexity, radius {radius:g}"
        panels.append(Panel(x=x, y=Axis(label="local complexity", unit="units"), layers=layers, title=title,
                            height=230))  # fmt: skip
    return FigureSpec(
        name="robustness",
        title="Clean and robust accuracy" + (", and local complexity" if len(panels) > 1 else ""),
        caption="Robust accuracy: right whatever the attack does within its radius. Local complexity: units "
        "that change their sign near an example, all layers. One line per member."
        + (" Thick: medians." if any(name.endswith("_medians") for name in tables) else ""),
        tables={name: as_table(table) for name, table in tables.items()},
        panels=tuple(panels),
        colour=Colour(title="", values=tuple(dict.fromkeys(order))),
        per_row=1 if len(panels) == 1 else 2,
    )


def _totals(run: RunLike, wanted: str) -> dict[float, pl.DataFrame]:
    """For each radius the totals of all kinds of points."""
    frames: dict[float, list[pl.DataFrame]] = {}
    for column, split in columns_of_complexity(run).items():
        words, known = f"{split} points", radii(run, column)
        for place, radius in enumerate(known):
            found = (
                places(run, column, {place: words})
                if is_array(run, column)
                else scalars(run, {column: words})
            )
            frames.setdefault(radius, []).append(found)
    if wanted:
        chosen = [radius for radius in frames if f"{radius:g}" == wanted]
        if not chosen:
            have = ", ".join(f"{radius:g}" for radius in frames) or "no local complexity"
            raise UserError(f"radius={wanted} was not measured by {run.name}; it has {have}")
        frames = {radius: frames[radius] for radius in chosen}
    return {radius: pl.concat(found) for radius, found in frames.items()}
