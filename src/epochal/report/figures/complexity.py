"""Local complexity, in total and of each layer, against the step: a column per kind of points."""

from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Colour, FigureSpec, Layer, Panel
from epochal.report.complexity_columns import (
    ERROR,
    LAYER_ERROR,
    NAME,
    TOTAL,
    columns_of_complexity,
    is_array,
    radii,
)
from epochal.report.curve_tables import as_table, step_axis
from epochal.report.figure import Options, figure, option
from epochal.report.named_curves import layers_of, places, scalars, with_labels
from epochal.report.reading import RunLike

WIDTH = 1.96
"""Standard errors on either side, of a 95% interval."""
MOST_LINES = 20
"""Of members in a panel that has medians: more hide them."""


class ComplexityOptions(Options):
    x: Literal["log", "linear"] = option("log", "scale of the steps; log has a place for 0")
    y: Literal["linear", "log"] = option("linear", "scale of the units")
    points: tuple[str, ...] = option((), "kinds of points, such as train,random; none = all")
    radius: str = option("", "one radius; none = all")
    show: Literal["both", "total", "layers"] = option("both", "the sum over layers, each layer, or both")


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A panel to be: one kind of points at one of its radii, in total or by layer."""

    kind: str
    column: str
    number: int
    radius: float
    is_total: bool

    @property
    def row(self) -> tuple[float, bool]:
        return self.radius, not self.is_total


def on_page(run: RunLike) -> ComplexityOptions | None:
    return ComplexityOptions() if columns_of_complexity(run, NAME) else None


@figure(
    "local complexity in total and of each layer against the step, per kind of points and radius",
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
    shown = {column: kind for column, kind in columns.items() if not options.points or kind in options.points}
    wanted, per_row = _laid_out(_wanted(run, shown, options))
    if not wanted:
        raise UserError(f"radius={options.radius} was not measured by {run.name}")
    tables: dict[str, pl.DataFrame] = {}
    panels, has_radii = list[Panel](), len({place.radius for place in wanted}) > 1
    for place in wanted:
        name = f"{place.kind}_{place.number}".replace("-", "_") + ("_total" if place.is_total else "")
        more, layers = _bands_and_lines(_curves(run, place, options), name)
        tables |= more
        layers = tuple(replace(layer, colour=None) for layer in layers) if place.is_total else layers
        of = "total" if place.is_total else "each layer"
        title = f"{place.kind} points" + (f", radius {place.radius:g}" if has_radii else "") + f": {of}"
        label = "local complexity" if place.is_total else "local complexity of a layer"
        y = Axis(label=label, unit="units", scale=options.y)
        panels.append(Panel(x=step_axis(run, options.x), y=y, layers=layers, title=title, height=220))
    most = max((_num_layers(run, place.column) for place in wanted if not place.is_total), default=0)
    shades = Colour(
        title="layer, from the inputs on", values=tuple(map(str, range(1, most + 1))), ordered=True
    )
    return FigureSpec(
        name="complexity",
        title="Local complexity",
        caption=_caption(tables, {layer.table for panel in panels for layer in panel.layers}),
        tables={name: as_table(table) for name, table in tables.items()},
        panels=tuple(panels),
        colour=shades if most else None,
        per_row=per_row,
    )


def _wanted(run: RunLike, columns: dict[str, str], options: ComplexityOptions) -> list[_Place]:
    """A total says nothing beside the only layer."""
    found = []
    for column, kind in columns.items():
        totals = _beside(column, TOTAL) in run.metrics.columns
        for number, radius in enumerate(radii(run, column)):
            if options.radius and options.radius != f"{radius:g}":
                continue
            has_total = totals and options.show != "layers" and _num_layers(run, column) > 1
            has_layers = options.show != "total" or not has_total
            for is_total in [True] * has_total + [False] * has_layers:
                found.append(
                    _Place(kind=kind, column=column, number=number, radius=radius, is_total=is_total)
                )
    return found


def _laid_out(places: list[_Place]) -> tuple[list[_Place], int]:
    """A column per kind where all have the same rows, else one kind after the other."""
    kinds = list(dict.fromkeys(place.kind for place in places))
    rows = {kind: {place.row for place in places if place.kind == kind} for kind in kinds}
    if 1 < len(kinds) <= 3 and all(of == rows[kinds[0]] for of in rows.values()):
        return sorted(places, key=lambda place: (*place.row, kinds.index(place.kind))), len(kinds)
    return places, 1 if len(places) == 1 else 2


def _curves(run: RunLike, place: _Place, options: ComplexityOptions) -> pl.DataFrame:
    """``member step value colour``, and ``low`` and ``high`` where the error was measured too."""
    column = _beside(place.column, TOTAL) if place.is_total else place.column
    error = _beside(place.column, ERROR if place.is_total else LAYER_ERROR)
    if place.is_total:
        names = {place.number: "total"}
    else:
        count = _num_layers(run, place.column)
        names = {place.number * count + layer: f"{layer + 1}" for layer in range(count)}
    frame = _values(run, column, names)
    frame = frame.filter(pl.col("value") > 0) if options.y == "log" else frame
    if error in run.metrics.columns:
        reach = WIDTH * pl.col("error")
        least = frame["value"].min() if options.y == "log" else 0.0  # no count is negative
        frame = frame.join(
            _values(run, error, names).rename({"value": "error"}), on=["member", "step", "colour"], how="left"
        ).with_columns(
            pl.max_horizontal(pl.col("value") - reach, pl.lit(least)).alias("low"),
            (pl.col("value") + reach).alias("high"),
        )
    return with_labels(run, frame)


def _values(run: RunLike, column: str, names: dict[int, str]) -> pl.DataFrame:
    if is_array(run, column):
        return places(run, column, names)
    return scalars(run, {column: next(iter(names.values()))})


def _bands_and_lines(frame: pl.DataFrame, name: str) -> tuple[dict[str, pl.DataFrame], tuple[Layer, ...]]:
    """Where medians are drawn the band is the middle half of members, else each member's own interval."""
    tables, lines = layers_of(frame, name)
    band = Layer(mark="band", table=name, x="step", y="low", y2="high", by="curve", colour="colour")
    if f"{name}_medians" in tables:
        middle = replace(band, table=f"{name}_medians", y="lower", y2="upper", by="colour")
        return tables, (middle, *(lines if frame["curve"].n_unique() <= MOST_LINES else lines[1:]))
    known = frame.filter(pl.col("error").is_finite()) if "error" in frame.columns else frame.clear()
    if not len(known):
        return tables, lines
    return tables | {f"{name}_intervals": known}, (replace(band, table=f"{name}_intervals"), *lines)


def _num_layers(run: RunLike, column: str) -> int:
    return int(run.metrics[column].list.len().max() or 0) // len(radii(run, column))  # type: ignore[arg-type]


def _beside(column: str, name: str) -> str:
    """The column of another name and the same label."""
    _, at, label = column.partition("@")
    return name + at + label


def _caption(tables: dict[str, pl.DataFrame], drawn: set[str]) -> str:
    words = (
        "Units that change their sign near an example, mean over examples; layers in the order of the "
        "network, the logits last where they were counted. One line per member"
    )
    words += f", none where they would be more than {MOST_LINES}." if set(tables) - drawn else "."
    if any(name.endswith("_medians") for name in tables):
        return f"{words} Thick: medians; band: the middle half of members."
    if any(name.endswith("_intervals") for name in tables):
        return f"{words} Band: 95% interval over examples and their frames."
    return words
