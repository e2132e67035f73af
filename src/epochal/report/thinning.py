"""Fewer points for the same picture: the rows of a curve that its drawing needs."""

import heapq
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from epochal.core.values.figure import Axis, Cell, FigureSpec, Layer, Panel, Scale, Table

MAX_POINTS = 500
"""No curve gets more points than this."""
MIN_POINTS = 50
"""No curve is cut below this, however many there are."""
TOTAL_POINTS = 12_000
"""What all curves of one table share; between the two limits above."""
TOLERANCE = 0.002
"""Largest vertical error as a share of the panel's height: half a pixel of 250."""
FAINT_TOLERANCE = 0.006
"""The same where more than ``FAINT_FROM`` curves share a table and no single one can be followed."""
FAINT_FROM = 20


def thinned(spec: FigureSpec) -> FigureSpec:
    """The same figure with fewer rows in every table that lines or bands are drawn from.

    Each curve keeps its first and last point, its extremes, the two sides of each gap, and then the points
    that are farthest from the straight line between kept neighbours, until none is farther away than
    ``TOLERANCE`` of the panel's height on the panel's own scale, or its share of ``TOTAL_POINTS`` is spent.
    """
    drawn: dict[str, list[tuple[Panel, Layer]]] = {}
    for panel in spec.panels:
        for layer in panel.layers:
            drawn.setdefault(layer.table, []).append((panel, layer))
    tables = dict(spec.tables)
    for name, uses in drawn.items():
        curves = [(panel, layer) for panel, layer in uses if layer.mark in ("line", "band")]
        is_laid_out = all("category" not in (panel.x.scale, panel.y.scale) for panel, _ in uses)
        if len(curves) == len(uses) and is_laid_out:
            tables[name] = _thinned_table(tables[name], curves)
    return replace(spec, tables=tables)


def thin(
    x: Float[np.ndarray, " T"], y: Float[np.ndarray, " T"], budget: int, tolerance: float = TOLERANCE
) -> Int[np.ndarray, " K"]:
    """Indices, ascending, of the points that a curve needs; x ascending, both on a scale of panel heights.

    Greedy from above (Douglas-Peucker with vertical distance and a budget). Non-finite values are gaps: the
    points beside a gap and the first of the gap stay, so that a line breaks where it did.
    """
    if not len(y):
        return np.empty(0, dtype=np.int64)
    finite = np.isfinite(y) & np.isfinite(x)
    kept = set(_edges(finite).tolist())
    if finite.any():
        kept |= {
            int(np.nanargmin(np.where(finite, y, np.inf))),
            int(np.nanargmax(np.where(finite, y, -np.inf))),
        }
    ends = sorted(k for k in kept if finite[k])
    queue: list[tuple[float, int, int, int]] = []
    for i, j in pairwise(ends):
        _push(queue, x, y, finite, i, j, tolerance)
    while queue and len(kept) < budget:
        _, i, k, j = heapq.heappop(queue)
        kept.add(k)
        _push(queue, x, y, finite, i, k, tolerance)
        _push(queue, x, y, finite, k, j, tolerance)
    return np.array(sorted(kept), dtype=np.int64)


def scaled(values: Sequence[Cell], scale: Scale) -> Float[np.ndarray, " T"]:
    """Values as an axis lays them out; NaN for what is not finite, -inf for the log of 0 or less."""
    v = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    v = np.where(np.isfinite(v), v, np.nan)
    if scale == "log":
        return np.where(v > 0, np.log(np.where(v > 0, v, 1.0)), np.where(np.isnan(v), np.nan, -np.inf))
    return np.sign(v) * np.log1p(np.abs(v)) if scale == "symlog" else v


def _thinned_table(table: Table, uses: list[tuple[Panel, Layer]]) -> Table:
    """The rows that any of the uses needs, curve by curve."""
    apart = [(layer.by, layer.colour, layer.where[0] if layer.where else None) for _, layer in uses]
    keys = [[table[c] for c in dict.fromkeys(columns) if c] for columns in apart]
    curves = _rows_by_curve(max(keys, key=len), len(next(iter(table.values()), ())))
    wanted = {(p.x, p.y, layer.x, y) for p, layer in uses for y in (layer.y, layer.y2) if y and layer.x}
    scales = [(_heights(table[x], x_axis), _heights(table[y], y_axis)) for x_axis, y_axis, x, y in wanted]
    budget = min(MAX_POINTS, max(MIN_POINTS, TOTAL_POINTS // max(1, len(curves)))) // max(1, len(scales))
    tolerance = TOLERANCE if len(curves) <= FAINT_FROM else FAINT_TOLERANCE
    keep: list[int] = []
    for rows in curves:
        needed = [rows[thin(x[rows], y[rows], budget, tolerance)] for x, y in scales]
        keep += np.unique(np.concatenate(needed)).tolist()
    return {name: [column[i] for i in keep] for name, column in table.items()}


def _heights(column: Sequence[Cell], axis: Axis) -> Float[np.ndarray, " T"]:
    """A column as shares of its axis, clipped where the axis ends."""
    v = scaled(column, axis.scale)
    low, high = scaled(axis.domain, axis.scale) if axis.domain else _range(v)
    return np.where(np.isnan(v), np.nan, np.clip((v - low) / ((high - low) or 1.0), 0.0, 1.0))


def _range(v: Float[np.ndarray, " T"]) -> tuple[float, float]:
    finite = v[np.isfinite(v)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def _rows_by_curve(keys: Sequence[Sequence[Cell]], num_rows: int) -> list[Int[np.ndarray, " T"]]:
    rows: dict[tuple[Cell, ...], list[int]] = {}
    for i, key in enumerate(zip(*keys, strict=True) if keys else [()] * num_rows):
        rows.setdefault(key, []).append(i)
    return [np.array(r, dtype=np.int64) for r in rows.values()]


def _edges(finite: Bool[np.ndarray, " T"]) -> Int[np.ndarray, " K"]:
    """First and last row, and the rows on both sides of each change between finite and not."""
    change = np.flatnonzero(finite[1:] != finite[:-1])
    return np.unique(np.concatenate([[0, len(finite) - 1], change, change + 1]).astype(np.int64))


def _push(
    queue: list[tuple[float, int, int, int]],
    x: Float[np.ndarray, " T"],
    y: Float[np.ndarray, " T"],
    finite: Bool[np.ndarray, " T"],
    i: int,
    j: int,
    tolerance: float,
) -> None:
    """Offers the point between i and j that is farthest from their chord, if it is far enough to be seen."""
    if j - i < 2 or not finite[i : j + 1].all():
        return
    share = (x[i + 1 : j] - x[i]) / ((x[j] - x[i]) or 1.0)
    error = np.abs(y[i + 1 : j] - (y[i] + share * (y[j] - y[i])))
    k = int(error.argmax())
    if error[k] > tolerance:
        heapq.heappush(queue, (-float(error[k]), i, i + 1 + k, j))
