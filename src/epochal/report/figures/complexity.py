"""Local complexity of each layer against the step: a panel per kind of points and radius."""

from typing import Literal

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Colour, FigureSpec, Panel
from epochal.report.complexity_columns import NAME, columns_of_complexity, radii
from epochal.report.curve_tables import as_table, step_axis
from epochal.report.figure import Options, figure, option
from epochal.report.named_curves import layers_of, places, with_labels
from epochal.report.reading import RunLike


class ComplexityOptions(Options):
    x: Literal["log", "linear"] = option("log", "scale of the steps; log has a place for 0")
    y: Literal["linear", "log"] = option("linear", "scale of the units")
    points: tuple[str, ...] = option((), "kinds of points, such as train,random; none = all")
    radius: str = option("", "one radius; none = all")


def on_page(run: RunLike) -> ComplexityOptions | None:
    return ComplexityOptions() if columns_of_complexity(run, NAME) else None


@figure(
    "local complexity of each layer against the step, per kind of points and radius",
    options=ComplexityOptions,
    on_page=on_page,
    place=46,
)
def complexity(run: RunLike, options: ComplexityOptions) -> FigureSpec:
    columns = columns_of_complexity(run, NAME)
    if not columns:
        raise UserError(f"{run.name} has no {NAME}: train with probes=loss,accuracy,{NAME}")
    if missing := [kind for kind in options.points if kind not in columns.values()]:
        raise UserError(
            f"points={missing[0]} were not measured by {run.name}; it has {', '.join(columns.values())}"
        )
    tables: dict[str, pl.DataFrame] = {}
    panels, most = list[Panel](), 0
    for column, kind in columns.items():
        if options.points and kind not in options.points:
            continue
        known = radii(run, column)
        num_layers = int(run.metrics[column].list.len().max() or 0) // len(known)  # type: ignore[arg-type]
        most = max(most, num_layers)
        for number, radius in enumerate(known):
            if options.radius and options.radius != f"{radius:g}":
                continue
            names = {number * num_layers + layer: f"{layer + 1}" for layer in range(num_layers)}
            frame = with_labels(run, places(run, column, names))
            frame = frame.filter(pl.col("value") > 0) if options.y == "log" else frame
            more, layers = layers_of(frame, f"{kind}_{number}".replace("-", "_"))
            tables |= more
            title = f"{kind} points" + (f", radius {radius:g}" if len(known) > 1 else "")
            y = Axis(label="local complexity", unit="units", scale=options.y)
            panels.append(Panel(x=step_axis(run, options.x), y=y, layers=layers, title=title, height=220))
    if not panels:
        raise UserError(f"radius={options.radius} was not measured by {run.name}")
    return FigureSpec(
        name="complexity",
        title="Local complexity of each layer",
        caption="Units of a layer that change their sign near an example, mean over examples; layers in the "
        "order of the network, the logits last where they were counted. One line per member."
        + (" Thick: medians." if any(name.endswith("_medians") for name in tables) else ""),
        tables={name: as_table(table) for name, table in tables.items()},
        panels=tuple(panels),
        colour=Colour(title="layer", values=tuple(f"{n + 1}" for n in range(most)), ordered=True),
        per_row=1 if len(panels) == 1 else 2 if len(panels) in (2, 4) else 3,
    )
