"""A figure as files for a paper: SVG, PDF, PNG, and the tables behind it as CSV."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import polars as pl
import vl_convert

from epochal.core.values.errors import UserError
from epochal.core.values.figure import FigureSpec, Table
from epochal.report.charts import FONT_PX, LABEL_PX, PANEL_WIDTH, theme, vega_lite
from epochal.report.thinning import thinned
from epochal.store.atomic import write_file

Format = Literal["svg", "pdf", "png"]
PNG_PIXELS_PER_INCH = 200
MIN_PANEL_WIDTH = 150
"""Room in px that a panel with its labels needs."""
LABEL_SHARE = 0.35
"""Of a given width, what the words beside an axis may take before they are cut."""
SMALLEST_PANEL = 60
"""Width in px between the axes below which nothing can be read."""


def save_figure(
    spec: FigureSpec,
    directory: Path,
    formats: Sequence[Format] = ("svg", "pdf", "png"),
    width: float | None = None,
    font: float | None = None,
    *,
    drawn: FigureSpec | None = None,
) -> list[Path]:
    """Writes ``NAME.svg``, ``.pdf``, ``.png`` and one CSV per table; returns the paths written.

    ``width`` is that of the whole figure in inches (panels share it), ``font`` the size of axis titles in
    points. The CSV files hold every row, also those that the drawing can do without: an empty cell was not
    measured, ``NaN`` and ``inf`` were measured so. ``drawn`` is the thinned figure where the caller has it.
    """
    contents = tables_as_csv(spec)
    svg = figure_svg(drawn or thinned(spec), width=width, font=font)
    directory.mkdir(parents=True, exist_ok=True)
    for kind in formats:
        contents[f"{spec.name}.{kind}"] = _converted(svg, kind)
    for name, data in contents.items():
        write_file(directory / name, data)
    return [directory / name for name in contents]


def figure_svg(spec: FigureSpec, *, width: float | None = None, font: float | None = None) -> str:
    """A thinned figure as SVG text, one px being one point; ``width`` in inches, ``font`` in points.

    Fewer panels stand side by side where the width leaves less than ``MIN_PANEL_WIDTH`` for each.

    Raises:
        UserError: the width has no room for the figure's labels and ``SMALLEST_PANEL``.
    """
    font = font or FONT_PX
    if width is None:
        return _draw(spec, PANEL_WIDTH, font)
    fitting = max(1, int(72 * width / MIN_PANEL_WIDTH))
    spec = replace(spec, per_row=min(len(spec.panels), spec.per_row, fitting))
    # What stands around the panels (labels, gaps) has a size that only the drawing knows.
    panel_width = 72 * width / spec.per_row
    label_px = min(LABEL_PX, LABEL_SHARE * 72 * width)
    for _ in range(2):
        excess = _width_px(_draw(spec, panel_width, font, label_px)) - 72 * width
        panel_width = max(SMALLEST_PANEL, panel_width - excess / spec.per_row)
    svg = _draw(spec, panel_width, font, label_px)
    if (taken := _width_px(svg)) > 72 * width + 3:
        raise UserError(
            f"--width {width:.3g}in is too narrow for {spec.name}: it needs {taken / 72 + 0.05:.1f}in, "
            "or a smaller --font"
        )
    return svg


def tables_as_csv(spec: FigureSpec) -> dict[str, bytes]:
    """File name -> content for every table of the figure."""
    many = len(spec.tables) > 1
    return {f"{spec.name}-{n}.csv" if many else f"{spec.name}.csv": as_csv(t) for n, t in spec.tables.items()}


def as_csv(table: Table) -> bytes:
    """Columns in their order, every digit kept."""
    return pl.DataFrame({n: list(c) for n, c in table.items()}, strict=False).write_csv().encode()


def _converted(svg: str, kind: Format) -> bytes:
    if kind == "svg":
        return svg.encode()
    return (
        vl_convert.svg_to_pdf(svg) if kind == "pdf" else vl_convert.svg_to_png(svg, ppi=PNG_PIXELS_PER_INCH)
    )


def _draw(spec: FigureSpec, panel_width: float, font: float, label_px: float = LABEL_PX) -> str:
    chart = vega_lite(spec, panel_width=panel_width, font_px=font, label_px=label_px)
    return vl_convert.vegalite_to_svg(chart, config=theme(font_px=font))


def _width_px(svg: str) -> float:
    found = re.search(r'<svg[^>]* width="([0-9.]+)"', svg)
    assert found, "an SVG of ours has a width"
    return float(found[1])
