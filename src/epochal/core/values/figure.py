"""A figure as a plain value: tables, and panels that say how to draw them.

A figure is written once and drawn many times: on the page, as SVG, PDF and PNG, and as the CSV behind
it. Nothing here knows a plotting library. All panels of a figure draw from the same named tables and
share one colour scale, so that one value has one colour everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

Cell = float | int | str | None
Table = Mapping[str, Sequence[Cell]]
"""Columns of one length. None: not measured, the row is not drawn. NaN or infinite: breaks a line."""

Scale = Literal["linear", "log", "symlog", "category"]
Mark = Literal["line", "band", "point", "interval", "rule", "text", "cell"]
Emphasis = Literal["faint", "plain", "strong"]
Shape = Literal["dot", "ring", "cross", "arrow", "arrow_left", "arrow_up"]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What is measured along one side of a panel.

    ``symlog`` is log(1 + x): a logarithmic axis that has a place for 0, as step axes need. ``category``
    keeps the order of ``order`` (left to right, or bottom to top), or else that of first appearance (top to
    bottom). Values outside ``domain`` are drawn at the edge. ``bare`` leaves ticks and their labels away
    (rows that are too many to be named).
    """

    label: str
    unit: str = ""
    scale: Scale = "linear"
    domain: tuple[float, float] | None = None
    order: tuple[str, ...] = ()
    bare: bool = False


@dataclass(frozen=True, kw_only=True)
class Colour:
    """The colour scale of a figure: ``values`` in their order; ``ordered`` ones get shades of one ramp."""

    title: str
    values: tuple[str, ...]
    ordered: bool = False


@dataclass(frozen=True, kw_only=True)
class Shades:
    """A continuous colour scale: the numbers of ``domain`` from dark to light."""

    title: str
    domain: tuple[float, float]
    scale: Literal["linear", "log"] = "linear"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One kind of mark drawn from one table; the strings name columns of it.

    * ``line``: x, y; one line per value of ``by``.
    * ``band``: between y and y2 along x; one band per value of ``by``.
    * ``point``: x, y, with ``shape``. ``text``: the column ``text`` at x, y.
    * ``interval``: a bar from x to x2 at y, or from y to y2 at x.
    * ``rule``: across the panel, at x or at y (the other one is None).
    * ``cell``: the rectangle of a category x and a category y, or from x to x2 and from y to y2; without
      ``colour`` a grey one.

    ``colour`` is a column with values of the figure's colour scale; without it a mark is drawn in the
    colour of the text. A text in a figure of `Shades` lies on the cell of its value, and is light or dark as
    that needs. ``where`` keeps the rows with one value of one column, ``also`` of those the rows with one
    value of another. ``hover`` maps columns to
    the words they are shown under; on a line only columns that are constant along it.
    """

    mark: Mark
    table: str
    x: str | None = None
    y: str | None = None
    x2: str | None = None
    y2: str | None = None
    by: str | None = None
    colour: str | None = None
    text: str | None = None
    where: tuple[str, str] | None = None
    also: tuple[str, str] | None = None
    hover: Mapping[str, str] = field(default_factory=dict)
    emphasis: Emphasis = "plain"
    shape: Shape = "dot"

    def columns(self) -> list[str]:
        """Every column of the table that this layer reads."""
        named = [self.x, self.y, self.x2, self.y2, self.by, self.colour, self.text, *self.hover]
        named += [kept[0] for kept in (self.where, self.also) if kept]
        return list(dict.fromkeys(name for name in named if name is not None))


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes and what is drawn between them, from back to front; ``height`` in px (1/72 inch).

    ``square``: as wide as high wherever it is drawn. A long title is broken into lines.
    """

    x: Axis
    y: Axis
    layers: tuple[Layer, ...]
    title: str = ""
    height: int = 250
    square: bool = False


@dataclass(frozen=True, kw_only=True)
class FigureSpec:
    """A named figure. ``name`` becomes a file name, ``per_row`` is the number of panels side by side.

    Raises ``ValueError`` where a layer names a table, a column or a colour that is not there: a figure that
    can be made can be drawn.
    """

    name: str
    title: str
    caption: str
    tables: Mapping[str, Table]
    panels: tuple[Panel, ...]
    colour: Colour | Shades | None = None
    per_row: int = 2

    def __post_init__(self) -> None:
        if not self.name.replace("-", "_").isidentifier():
            raise ValueError(f"figure name {self.name!r} is no file name: use letters, digits, - and _")
        for name, table in self.tables.items():
            if len({len(column) for column in table.values()}) > 1:
                raise ValueError(f"figure {self.name}: the columns of table {name!r} differ in length")
            if bad := [c for c in (name, *table) if not c.isidentifier()]:
                raise ValueError(f"figure {self.name}: {bad[0]!r} is no identifier; put words into labels")
        for layer in (layer for panel in self.panels for layer in panel.layers):
            if layer.table not in self.tables:
                raise ValueError(f"figure {self.name}: no table {layer.table!r}, only {list(self.tables)}")
            table = self.tables[layer.table]
            if missing := [c for c in layer.columns() if c not in table]:
                raise ValueError(f"figure {self.name}: table {layer.table!r} has no column {missing[0]!r}")
            if layer.colour is None:
                continue
            if isinstance(self.colour, Shades):
                if words := [v for v in table[layer.colour] if isinstance(v, str)]:
                    raise ValueError(f"figure {self.name}: {words[0]!r} is no number, its colours are shades")
            else:
                known = set(self.colour.values) if self.colour else set()
                if stray := set(cast(Sequence[str], table[layer.colour])) - known:
                    raise ValueError(f"figure {self.name}: {sorted(stray)[0]!r} has no place in its colours")
