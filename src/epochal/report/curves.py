"""Learning curves with median and band, and the events on them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Colour, FigureSpec, Layer, Panel, Scale, Table
from epochal.report.curve_tables import (
    Curves,
    as_table,
    ends,
    events_on,
    linear_domain,
    log_domain,
    long,
    median_table,
    step_axis,
)
from epochal.report.figure import Options, option
from epochal.report.reading import RunLike, grouping, measured_columns, member_table, setting_words

MAX_SINGLE = 12
"""Up to this many members every curve carries its own events."""
MAX_BANDS = 6
SPLITS = {"train": "training", "val": "validation"}


class CurveOptions(Options):
    """What can be chosen about curves against the step."""

    x: Literal["log", "linear"] = option("log", "scale of the steps; log has a place for 0")
    y: Literal["auto", "log", "linear"] = option("auto", "scale of the values")
    colour: str = option("auto", "field that gives the colour; auto or none")
    panels: str = option("auto", "field with a panel per value; auto or none")


def curves_of(run: RunLike, options: CurveOptions) -> Curves:
    """What the curves of a run share.

    Raises:
        UserError: the field for the colour or the panels does not vary, or has too many values.
    """
    groups = grouping(run, options.colour, options.panels)
    return Curves(run=run, groups=groups, members=member_table(run, groups), x=step_axis(run, options.x))


def columns_of(run: RunLike, name: str) -> list[str]:
    """``train_NAME`` and ``val_NAME``, where they were measured."""
    columns = measured_columns(run)
    return [column for split in SPLITS if (column := f"{split}_{name}") in columns]


def paired_figure(curves: Curves, name: str, options: CurveOptions) -> FigureSpec:
    """Training and validation in one panel, or side by side where colour is needed for a varied field.

    Raises:
        UserError: neither was measured.
    """
    columns = columns_of(curves.run, name)
    if not columns:
        raise UserError(f"{curves.run.name} has no {name}: probes={name} was not measured")
    splits = {column: SPLITS[column.split("_")[0]] for column in columns}
    unit, scale = (
        ("fraction correct", "linear") if name == "accuracy" else (_unit(curves.run, columns[0]), "log")
    )
    scale = options.y if options.y != "auto" else scale
    unit_range = (0.0, 1.0) if name == "accuracy" else None
    domain = log_domain(curves, columns) if scale == "log" else unit_range or _cut(curves, columns)
    y = Axis(label=name, unit=unit, scale="log" if scale == "log" else "linear", domain=domain)
    tables: dict[str, Table] = {}
    panels: list[Panel] = []
    colour = curves.groups.scale
    if colour is None:
        layers = [_layers(curves, column, tables, split=text, y=y.scale) for column, text in splits.items()]
        back_to_front = [layer for kind in zip(*layers, strict=True) for layer in _flat(kind)]
        height = 200 if curves.groups.facet else 300
        panels += _by_facet(curves, back_to_front, y, title="", height=height)
        colour = Colour(title="", values=tuple(SPLITS.values()))
    else:
        for column, text in splits.items():
            panels += _panels(curves, column, tables, y, title=text)
    return FigureSpec(
        name=name,
        title=f"{name.capitalize()} of training and validation data"
        if len(columns) > 1
        else name.capitalize(),
        caption=_caption(curves, tables, panels),
        tables=tables,
        panels=tuple(panels),
        colour=colour,
        per_row=_per_row(curves, len(panels)),
    )


def other_figure(curves: Curves, columns: Sequence[str], options: CurveOptions) -> FigureSpec:
    """Every column in a panel of its own; logarithmic where positive values span two decades.

    Raises:
        UserError: there is no column.
    """
    if not columns:
        raise UserError(f"{curves.run.name} has no measures without a figure of their own; give columns=a,b")
    tables: dict[str, Table] = {}
    panels: list[Panel] = []
    for column in columns:
        values = curves.run.metrics[column].cast(pl.Float64).drop_nulls()
        values = values.filter(values.is_finite())
        wide = len(values) > 0 and float(values.quantile(0.0) or 0) > 0
        wide = wide and float(values.quantile(0.99) or 0) > 100 * float(values.quantile(0.01) or 0)
        wide = wide if options.y == "auto" else options.y == "log"
        domain = log_domain(curves, [column]) if wide else linear_domain(curves, column)
        y = Axis(
            label=column.replace("_", " "),
            unit=_unit(curves.run, column),
            scale="log" if wide else "linear",
            domain=domain,
        )
        panels += _panels(curves, column, tables, y, title="")
    return FigureSpec(
        name="measures",
        title="Other measures" if len(columns) > 1 else columns[0].replace("_", " ").capitalize(),
        caption=_caption(curves, tables, panels),
        tables=tables,
        panels=tuple(panels),
        colour=curves.groups.scale,
        per_row=2,
    )


def _cut(curves: Curves, columns: Sequence[str]) -> tuple[float, float] | None:
    """The linear range that all of these columns need, None where the axis finds its own."""
    ranges = [domain for column in columns if (domain := linear_domain(curves, column))]
    return (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else None


def _panels(curves: Curves, column: str, tables: dict[str, Table], y: Axis, *, title: str) -> list[Panel]:
    """One panel per value of the facet field, or one alone."""
    kinds = _layers(curves, column, tables, split="", y=y.scale)
    return _by_facet(curves, [layer for kind in kinds for layer in kind], y, title=title)


def _by_facet(
    curves: Curves, layers: Sequence[Layer], y: Axis, *, title: str, height: int = 250
) -> list[Panel]:
    field = curves.groups.facet
    if not field:
        return [Panel(x=curves.x, y=y, layers=tuple(layers), title=title, height=height)]
    return [
        Panel(
            x=curves.x,
            y=y,
            layers=tuple(replace(layer, where=("facet", value)) for layer in layers),
            title=f"{title + ', ' if title else ''}{setting_words({field: value}, [field])}",
            height=height,
        )
        for value in curves.groups.facets
    ]


def _per_row(curves: Curves, num_panels: int) -> int:
    """A row per split where two or three panels are one's, else rows of four where there are many."""
    num_facets = len(curves.groups.facets)
    if num_facets in (2, 3):
        return num_facets
    return 2 if num_panels <= 4 else 3 if num_panels in (5, 6, 9) else 4


def _layers(
    curves: Curves, column: str, tables: dict[str, Table], *, split: str, y: Scale
) -> tuple[list[Layer], list[Layer], list[Layer], list[Layer]]:
    """Bands, members' lines, medians, and marks of one column; its tables are added to ``tables``."""
    frame = long(curves, column, split)
    middle = median_table(frame, ["facet", "colour"])
    name = _table_name(column, tables)
    coloured = "colour" if split or curves.groups.colour else None
    has_middle = len(middle) > 0
    few = len(curves.ids) <= MAX_SINGLE
    drawn = frame.filter(pl.col("member").is_in(curves.drawn))
    drawn = drawn.join(_strengths(frame, middle), on="member", maintain_order="left")
    strengths = drawn["emphasis"].unique(maintain_order=True).to_list()
    tables[name] = as_table(drawn if len(strengths) > 1 else drawn.drop("emphasis"))
    lines = [
        Layer(
            mark="line",
            table=name,
            x="step",
            y="value",
            by="member",
            colour=coloured,
            hover={"label": "member"},
            emphasis=emphasis,
            also=("emphasis", emphasis) if len(strengths) > 1 else None,
        )
        for emphasis in strengths
    ]
    bands, medians, marks = [], [], []
    if has_middle:
        tables[f"{name}_median"] = as_table(middle)
        about = {"table": f"{name}_median", "x": "step", "by": coloured, "colour": coloured}
        if split or len(curves.groups.values) <= MAX_BANDS:
            bands.append(Layer(mark="band", y="lower", y2="upper", **about))  # type: ignore[arg-type]
        medians.append(Layer(mark="line", y="median", emphasis="strong", **about))  # type: ignore[arg-type]
    found = events_on(curves, column, frame, y) if few else pl.DataFrame()
    if len(found):
        tables[f"{name}_events"] = as_table(found)
        hover = {"label": "member", "event": "event", "step": "step", "low": "from", "high": "to"}
        on = {"table": f"{name}_events", "y": "value", "hover": hover}
        marks.append(Layer(mark="interval", x="low", x2="high", emphasis="strong", **on))  # type: ignore[arg-type]
        marks.append(Layer(mark="point", x="step", emphasis="plain", **on))  # type: ignore[arg-type]
    last = ends(curves, frame)
    if len(last):
        tables[f"{name}_diverged"] = as_table(last)
        hover = {"label": "member", "reason": "diverged"}
        marks.append(
            Layer(
                mark="point",
                table=f"{name}_diverged",
                x="step",
                y="value",
                colour=coloured,
                shape="cross",
                hover=hover,
            )
        )
    return bands, lines, medians, marks


def _strengths(frame: pl.DataFrame, middle: pl.DataFrame) -> pl.DataFrame:
    """``member`` and its curve's ``emphasis``: faint behind a median, strong where its panel has no other
    member, or where its colour has no other and stands beside medians."""
    keys = ["facet", "colour"]
    sizes = frame.group_by(keys).agg(pl.col("member").n_unique().alias("beside"))
    panels = frame.group_by("facet").agg(pl.col("member").n_unique().alias("in_panel"))
    has_median = middle.select(*keys, pl.lit(True).alias("is_behind")).unique()
    members = frame.select("member", *keys).unique(maintain_order=True)
    members = members.join(sizes, on=keys).join(panels, on="facet").join(has_median, on=keys, how="left")
    is_alone = (pl.col("in_panel") == 1) | ((pl.col("beside") == 1) & pl.lit(len(middle) > 0))
    return members.select(
        "member",
        pl.when(pl.col("is_behind").fill_null(False))
        .then(pl.lit("faint"))
        .when(is_alone)
        .then(pl.lit("strong"))
        .otherwise(pl.lit("plain"))
        .alias("emphasis"),
    )


def _caption(curves: Curves, tables: Mapping[str, Table], panels: Sequence[Panel]) -> str:
    """What the lines mean and what a reader could miss."""
    n, drawn, groups = len(curves.ids), len(curves.drawn), curves.groups
    words = ["One line per member." if drawn == n else f"Lines: {drawn} of {n} members, evenly chosen."]
    if any(name.endswith("_median") for name in tables):
        band = "; band: their middle half" if any(x.mark == "band" for p in panels for x in p.layers) else ""
        by_line = " (straight lines between their records)" if curves.is_interpolated else ""
        words.append(
            f"Thick: median of the members measured at that step{by_line}, where at least half were{band}."
        )
    if any(name.endswith("_events") for name in tables):
        words.append("Dots on a curve: events, with the bar of their interval.")
    if num_diverged := len(curves.diverged):
        ones = "one diverged member" if num_diverged == 1 else f"{num_diverged} diverged members"
        words.append(f"Crosses: the last finite value of {ones}, counted until then.")
    if any(_is_cut(panel, tables) for panel in panels):
        words.append("Values outside the axis lie on its edge.")
    if groups.pooled:
        words.append(f"Pooled: {', '.join(groups.pooled)}.")
    return " ".join(words)


def _is_cut(panel: Panel, tables: Mapping[str, Table]) -> bool:
    """Whether some finite value of a line is drawn on the edge of its panel."""
    low, high = panel.y.domain or (-np.inf, np.inf)
    lines = [layer for layer in panel.layers if layer.mark == "line" and layer.y]
    values = np.concatenate([np.asarray(tables[x.table][x.y or ""], dtype=np.float64) for x in lines])
    values = values[np.isfinite(values)]
    return bool(((values < low) | (values > high)).any())


def _table_name(column: str, tables: Mapping[str, Table]) -> str:
    """The column's, in letters that a file may have; imported columns may be alike but for a dot."""
    name = re.sub(r"\W+", "_", column)
    return name if name not in tables else f"{name}_{len(tables)}"


def _unit(run: RunLike, column: str) -> str:
    about = run.schema.get(column)
    unit = str(about.get("unit") or "") if isinstance(about, Mapping) else ""
    return "" if unit in ("1", "none") else unit


def _flat(kinds: Sequence[Sequence[Layer]]) -> list[Layer]:
    return [layer for kind in kinds for layer in kind]
