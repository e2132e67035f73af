"""A figure as a Vega-Lite chart: the one place that knows how a layer becomes marks."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from epochal.core.values.figure import Axis, Cell, Colour, FigureSpec, Layer, Panel, Shades, Table
from epochal.report.axes import domain_of, ticks
from epochal.report.thinning import thinned

if TYPE_CHECKING:
    import altair as alt

Json = dict[str, Any]
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"

PANEL_WIDTH = 330
"""Width in px of one panel on paper; on the page a panel takes the room there is."""
TITLE_LETTERS = 52
"""Of a line of a panel's title, where the panel's width is not known."""
LINE = {"faint": 1.0, "plain": 1.3, "strong": 2.4}
BAR = {"faint": (0.9, 0.35), "plain": (2.6, 0.5), "strong": (9.0, 0.35)}
"""Width in px and opacity of interval bars."""
POINT = {"faint": 9, "plain": 24, "strong": 40}
SHAPES = {
    "dot": "circle",
    "ring": "circle",
    "cross": "M-1,-1L1,1M-1,1L1,-1",
    "arrow": "triangle-right",
    "arrow_left": "triangle-left",
    "arrow_up": "triangle-up",
}
FILLED = ("dot", "arrow", "arrow_left", "arrow_up")
FONT_PX = 11
LABEL_PX = 220
HUES = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a7a7a", "#8f5a2b")
"""Told apart by colour-blind readers (Okabe and Ito 2008; yellow and black replaced, which are lost
on paper and in the dark)."""
VIRIDIS = tuple("#440154 #482878 #3e4989 #31688e #26828e #1f9e89 #35b779 #6ece58 #b5de2b #fde725".split())
"""Nine even steps through the scheme that continuous scales have (Smith and van der Walt 2015)."""
RAMP = ("#4b62d1", "#9a4fc4", "#d4508c", "#ea7646", "#d9a514")


def figure_chart(spec: FigureSpec) -> "alt.VConcatChart":
    """The figure as altair has it, for a notebook; checked against the schema of Vega-Lite."""
    import altair as alt

    return alt.VConcatChart.from_dict({**vega_lite(thinned(spec)), "config": theme()})


def vega_lite(
    spec: FigureSpec,
    *,
    panel_width: float = PANEL_WIDTH,
    font_px: float = FONT_PX,
    label_px: float = LABEL_PX,
) -> Json:
    """All panels side by side, each table once, one legend on top: what goes to paper.

    Written as JSON: altair's objects check and copy themselves for longer than the drawing takes.
    """
    room = panel_width * min(spec.per_row, len(spec.panels))
    legend = _legend_look(spec, room, font_px)
    # A bold letter takes about 0.56 of the font's size.
    letters = max(8, int(panel_width / (0.56 * font_px)))
    panels = [
        panel_json(spec, panel, width=panel_width, legend=legend, label_px=label_px, letters=letters)
        for panel in spec.panels
    ]
    rows = [{"hconcat": panels[i : i + spec.per_row]} for i in range(0, len(panels), spec.per_row)]
    tables = {name: records(table) for name, table in used_tables(spec).items()}
    return {"$schema": SCHEMA, "vconcat": rows, "datasets": tables}


def panel_json(
    spec: FigureSpec,
    panel: Panel,
    *,
    width: float | str,
    legend: Json | None = None,
    label_px: float = LABEL_PX,
    letters: int = TITLE_LETTERS,
) -> Json:
    """One panel; its tables are named, not held: whoever draws it gives them.

    Words beside an axis that are wider than ``label_px`` are cut. A title longer than ``letters`` has several
    lines.
    """
    x = _channel(panel.x, _columns(panel, spec.tables, "x"), "x", label_px)
    y = _channel(panel.y, _columns(panel, spec.tables, "y"), "y", label_px)
    colour = _colour_channel(spec.colour, legend) if spec.colour else {}
    layers = [_layer(layer, spec.tables[layer.table], x, y, colour, spec.colour) for layer in panel.layers]
    has_rows = (panel.y.bare or panel.y.scale == "category") and any(
        layer.mark == "text" for layer in panel.layers
    )
    is_free = isinstance(width, str) or has_rows  # lines of text need their height
    height = panel.height if is_free else round(panel.height * min(1.0, float(width) / PANEL_WIDTH))
    if panel.square:
        width = height = panel.height if isinstance(width, str) else round(width)
    return {"width": width, "height": height, "layer": layers} | _title(panel.title, letters, width)


def _title(title: str, letters: int, width: float | str) -> Json:
    """A panel's title in lines; where a panel has a width, one that is still too long is cut."""
    if not title:
        return {}
    lines = _lines(title, letters)
    text = lines if len(lines) > 1 else title
    return {"title": text if isinstance(width, str) else {"text": text, "limit": round(width)}}


def _lines(title: str, letters: int) -> list[str]:
    """A title broken behind commas where it is longer than a line."""
    lines: list[str] = []
    for part in title.split(", "):
        if lines and len(lines[-1]) + 2 + len(part) <= letters:
            lines[-1] += f", {part}"
        else:
            lines = [*(f"{line}," if line is lines[-1] else line for line in lines), part]
    return lines


def used_tables(spec: FigureSpec) -> dict[str, Table]:
    """The tables with only those columns that some layer reads."""
    read: dict[str, dict[str, None]] = {}
    for layer in (layer for panel in spec.panels for layer in panel.layers):
        read.setdefault(layer.table, {}).update(dict.fromkeys(layer.columns()))
    return {name: {c: spec.tables[name][c] for c in columns} for name, columns in read.items()}


def records(table: Table) -> list[dict[str, Cell]]:
    """Rows as JSON can hold them: six digits, null for what is not finite."""
    names = list(table)
    columns = [[plain(value) for value in table[name]] for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def plain(value: Cell) -> Cell:
    """A number with six digits, None for NaN and infinities; text as it is."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def palette(colour: Colour) -> list[str]:
    """One colour per value: distinct hues, or shades of one ramp for ordered values."""
    n = len(colour.values)
    if not colour.ordered:
        return [HUES[i % len(HUES)] for i in range(n)]
    return [_between(RAMP, i / (n - 1) if n > 1 else 0.0) for i in range(n)]


def legend_values(colour: Colour, most: int = 8) -> list[str]:
    """The values a legend names: all, or an even choice of an ordered scale that is too long to read."""
    n = len(colour.values)
    chosen = range(n) if n <= most else sorted({round(i * (n - 1) / (most - 1)) for i in range(most)})
    return [colour.values[i] for i in chosen]


def theme(
    *,
    ink: str = "#22252a",
    soft: str = "#62666d",
    grid: str = "#e7e7e4",
    paper: str = "white",
    font_px: float = FONT_PX,
) -> Json:
    """Vega-Lite configuration; what has no colour of its own takes ``ink``. Any CSS colour will do."""
    axis = {"labelColor": soft, "titleColor": ink, "domainColor": soft, "tickColor": soft, "gridColor": grid}
    space = {
        "titlePadding": 8,
        "labelPadding": 4,
        "tickSize": 4,
        "labelOverlap": "greedy",
        "labelFlush": False,
    }
    sizes = {"labelFontSize": font_px - 1, "titleFontSize": font_px, "titleFontWeight": "normal"}
    legend = {
        "labelColor": ink,
        "titleColor": ink,
        "symbolStrokeWidth": 2.4,
        "symbolOpacity": 1,
        "orient": "top",
    }
    title = {"fontSize": font_px, "fontWeight": 600, "anchor": "start", "frame": "group", "offset": 8}
    return {
        "font": "Helvetica, Arial, sans-serif",
        "background": paper,
        "view": {"stroke": None},
        "axis": {**axis, **space, **sizes},
        "legend": {**legend, **sizes},
        "title": {"color": ink, **title},
        "mark": {"color": ink},
        "rule": {"color": ink},
        "text": {"color": ink, "fontSize": font_px - 1},
        "concat": {"spacing": 24},
    }


def _layer(layer: Layer, table: Table, x: Json, y: Json, colour: Json, scale: Colour | Shades | None) -> Json:
    encoding: Json = {}
    for name, channel, column in (("x", x, layer.x), ("y", y, layer.y)):
        if column:
            encoding[name] = {"field": column, **channel}
    encoding |= {name: {"field": column} for name, column in (("x2", layer.x2), ("y2", layer.y2)) if column}
    if layer.by:
        encoding["detail"] = {"field": layer.by, "type": "nominal"}
    if layer.colour and layer.mark == "text" and isinstance(scale, Shades):
        encoding["color"] = _on_shades(layer.colour, scale)
    elif layer.colour:
        encoding["color"] = {"field": layer.colour, **colour}
        if layer.mark == "point" and layer.shape in FILLED:
            # Stroke and fill apart: the legend's strokes have a colour where there are only points.
            encoding["fill"] = {"field": layer.colour, **colour, "legend": None}
    if layer.text:
        encoding["text"] = {"field": layer.text, "type": "nominal"}
    if layer.hover:
        encoding["tooltip"] = [
            _tooltip(column, words, table[column]) for column, words in layer.hover.items()
        ]
    drawn: Json = {"data": {"name": layer.table}, "mark": _mark(layer, table), "encoding": encoding}
    if kept := [pair for pair in (layer.where, layer.also) if pair]:
        drawn["transform"] = [{"filter": {"field": column, "equal": value}} for column, value in kept]
    return drawn


def _mark(layer: Layer, table: Table) -> Json:
    # Stroke and fill opacity, never the opacity of the whole mark: that costs a canvas per line in a PNG.
    if layer.mark == "line":
        num_lines = len(set(table[layer.by])) if layer.by else 1
        opacity = max(0.13, min(0.45, 2 / math.sqrt(num_lines or 1))) if layer.emphasis == "faint" else 1
        return {
            "type": "line",
            "strokeWidth": LINE[layer.emphasis],
            "strokeOpacity": opacity,
            "strokeJoin": "round",
        }
    if layer.mark == "band":
        return {"type": "area", "fillOpacity": 0.16}
    if layer.mark == "point":
        is_filled = layer.shape in FILLED and not layer.colour
        look = {"shape": SHAPES[layer.shape], "filled": is_filled}
        return {"type": "point", **look, "size": POINT[layer.emphasis], "opacity": 1, "strokeWidth": 1.5}
    if layer.mark == "cell":
        return {"type": "rect", "fillOpacity": 1 if layer.colour else 0.12}
    if layer.mark == "text":
        return {"type": "text", "align": "left", "dx": 6}
    if layer.mark == "rule":
        return {"type": "rule", "strokeWidth": 1, "strokeDash": [4, 3], "strokeOpacity": 0.6}
    width, opacity = BAR[layer.emphasis]
    return {"type": "rule", "strokeWidth": width, "strokeOpacity": opacity}


def _channel(axis: Axis, columns: Sequence[Sequence[Cell]], side: str, label_px: float) -> Json:
    """Title, scale and ticks, the same for every layer of a panel."""
    look: Json = {"title": (f"{axis.label} ({axis.unit})" if axis.unit else axis.label) or None}
    if axis.bare:
        look |= {"labels": False, "ticks": False, "domain": False, "grid": False}
    if axis.scale == "category":
        values: list[Cell] = list(axis.order[:: 1 if side == "x" else -1])
        values = values or list(dict.fromkeys(v for column in columns for v in column if v is not None))
        look |= {"grid": False, "labelLimit": round(label_px)}
        look |= {"labelAngle": 0, "labelSeparation": 6} if side == "x" else {}
        return {"type": "nominal", "scale": {"domain": values}, "sort": None, "axis": look}
    if axis.scale == "linear":
        scale: Json = {"zero": False} | ({"domain": list(axis.domain), "clamp": True} if axis.domain else {})
        return {"type": "quantitative", "scale": scale, "axis": look | {"tickCount": 6}}
    low, high = axis.domain or domain_of(columns, axis.scale)
    scale = {"type": axis.scale, "domain": [low, high], "nice": False, "clamp": True}
    return {"type": "quantitative", "scale": scale, "axis": look | _tick_look(ticks(low, high, axis.scale))}


def _tick_look(marks: Mapping[float, str]) -> Json:
    """Small ticks without a label and a grid line, large ones with both."""
    if not marks:
        return {"tickCount": 6}
    named = {mark: name for mark, name in marks.items() if name}
    is_named = " || ".join(f"datum.value == {mark!r}" for mark in named)
    return {
        "values": list(marks),
        "labelExpr": " : ".join(f"datum.value == {mark!r} ? '{name}'" for mark, name in named.items())
        + " : ''",
        "gridOpacity": {"condition": {"test": is_named, "value": 1}, "value": 0},
        "tickSize": {"condition": {"test": is_named, "value": 5}, "value": 3},
    }


def _colour_channel(colour: Colour | Shades, legend: Json | None) -> Json:
    if isinstance(colour, Shades):
        scale: Json = {"type": colour.scale, "domain": list(colour.domain), "scheme": "viridis"}
        return {"type": "quantitative", "scale": scale, "legend": legend}
    scale = {"domain": list(colour.values), "range": palette(colour)}
    return {"type": "nominal", "scale": scale, "legend": legend}


def _on_shades(column: str, shades: Shades) -> Json:
    """Of a text on the cell of its value: light on the dark half of the scale, dark on the other."""
    low, high = shades.domain
    middle = math.sqrt(low * high) if shades.scale == "log" else (low + high) / 2
    return {
        "condition": {"test": f"datum[{json.dumps(column)}] < {middle}", "value": "#fff"},
        "value": "#222",
    }


def _legend_look(spec: FigureSpec, room: float, font_px: float) -> Json:
    """A legend that takes no more than ``room`` px in width."""
    colour = spec.colour
    if isinstance(colour, Shades):
        marks = ticks(*colour.domain, colour.scale) if colour.scale == "log" else {}
        look = _tick_look(marks) if marks else {"tickCount": 4}
        look = {name: look[name] for name in ("values", "labelExpr", "tickCount") if name in look}
        bar = {"gradientLength": round(max(60, min(200, 0.8 * room))), "gradientThickness": 9}
        return {"title": colour.title or None, "titleLimit": round(room), **bar, **look}
    if colour is None:
        return {}
    named = legend_values(colour)
    # A letter takes about half of the font's size; the stroke and the gaps beside it 36 px.
    widest = max(map(len, named)) * 0.52 * font_px + 36
    columns = max(1, min(len(named), int(room / widest)))
    has_cells = any(layer.mark == "cell" for panel in spec.panels for layer in panel.layers)
    kind = "square" if has_cells else "stroke"
    return {
        "title": colour.title or None,
        "values": named,
        "symbolType": kind,
        "labelLimit": round(room),
        "columns": columns,
    }


def _columns(panel: Panel, tables: Mapping[str, Table], side: str) -> list[Sequence[Cell]]:
    """All columns that the layers of a panel lay out along one side."""
    named: Iterable[tuple[str, str | None]] = (
        (layer.table, column)
        for layer in panel.layers
        for column in ((layer.x, layer.x2) if side == "x" else (layer.y, layer.y2))
    )
    return [tables[table][column] for table, column in named if column is not None]


def _tooltip(column: str, words: str, values: Sequence[Cell]) -> Json:
    if any(isinstance(v, str) for v in values):
        return {"field": column, "type": "nominal", "title": words}
    digits = ",.0f" if column in ("step", "low", "high") else ",.4~g"  # steps are whole
    return {"field": column, "type": "quantitative", "title": words, "format": digits}


def _between(ramp: Sequence[str], share: float) -> str:
    """Linear interpolation in RGB; share 0 is the first colour, 1 the last."""
    at = share * (len(ramp) - 1)
    i = min(int(at), len(ramp) - 2)
    ends = [[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in (ramp[i], ramp[i + 1])]
    return "#" + "".join(f"{round(a + (at - i) * (b - a)):02x}" for a, b in zip(*ends, strict=True))
