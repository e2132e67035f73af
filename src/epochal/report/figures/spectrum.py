"""The Fourier spectrum of the embedding over training: frequency against step, as shades."""

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Cell, FigureSpec, Layer, Panel, Shades
from epochal.report.against import columns_table
from epochal.report.curve_tables import step_axis
from epochal.report.figure import Options, figure, option
from epochal.report.probed import has_columns, rows_with
from epochal.report.reading import RunLike, member_table

COLUMN, PROBE = "embedding_spectrum", "embedding_spectrum"
WORDS = {"share": "share of squared length", "strength": "length"}
MAX_PANELS = 6
MAX_STEPS = 100
"""More records are drawn by an even choice; the CSV has as many."""


class SpectrumOptions(Options):
    members: tuple[int, ...] = option((), "members with a panel each, as 0,2; none = the first six")
    value: Literal["share", "strength"] = option(
        "share", "share of the squared length at that step, or the length, which decays with all weights"
    )
    x: Literal["log", "linear"] = option("log", "scale of the steps; log has a place for 0")
    scale: Literal["linear", "log"] = option("linear", "scale of the shades")
    lowest: int = option(1, "lowest frequency that is drawn; 0 is the mean of the embedding")
    table: str = option("", "part of a table's file name, where the probe was measured with several options")


def on_page(run: RunLike) -> SpectrumOptions | None:
    return SpectrumOptions() if has_columns(run, [COLUMN]) else None


@figure(
    "Fourier spectrum of the embedding: its length at every frequency against the step, a panel per member",
    options=SpectrumOptions,
    on_page=on_page,
    place=60,
)
def spectrum(run: RunLike, options: SpectrumOptions) -> FigureSpec:
    rows = rows_with(run, [COLUMN], PROBE, options.table)
    there = rows["member"].unique(maintain_order=True).to_list()
    if missing := [m for m in options.members if m not in there]:
        raise UserError(
            f"{run.name} has no spectrum of member {missing[0]}, only of {_listed(there)}; "
            f"measure it by epochal probe {run.name} {PROBE} --members {missing[0]}"
        )
    chosen = list(options.members or there[:MAX_PANELS])
    highest = int(rows[COLUMN].list.len().max() or 0) - 1  # type: ignore[arg-type]
    if not 0 <= options.lowest <= highest:
        raise UserError(
            f"lowest={options.lowest} is no frequency of the spectrum; it has those from 0 to {highest}"
        )
    cells = [c for member in chosen for c in _cells(rows.filter(pl.col("member") == member), options)]
    strengths = [float(str(c[options.value])) for c in cells]
    drawn = [s for s in strengths if s > 0 or options.scale == "linear"]
    if not drawn:
        raise UserError(f"{run.name} has no positive strength for scale=log; take linear")
    top = max(drawn) or 1.0
    low = 0.0 if options.scale == "linear" else max(min(drawn), top / 1e4)
    labels = dict(member_table(run).select("member", "label").iter_rows())
    y = Axis(label="frequency", unit="cycles per modulus", domain=(options.lowest - 0.5, highest + 0.5))
    hover = {"frequency": "frequency", "step": "step", "strength": "length", "share": "share"}
    x = step_axis(run, options.x)
    ends = [float(str(cell["to"])) for cell in cells]
    panels = tuple(
        Panel(
            x=Axis(label=x.label, unit=x.unit, scale=x.scale, domain=(0.0, max(ends))),
            y=y,
            layers=(
                Layer(
                    mark="cell", table="cells", x="begin", x2="to", y="low", y2="high", colour=options.value,
                    where=("name", str(member)), hover=hover,
                ),
            ),
            title=labels[member] if len(run.members) > 1 else "",
        )
        for member in chosen
    )  # fmt: skip
    left = len(there) - len(chosen)
    return FigureSpec(
        name="spectrum",
        title="Fourier spectrum of the embedding",
        caption="Shades: length of the embedding's cosine and sine at a frequency together"
        + (f", squared, as a share of all from {options.lowest} on" if options.value == "share" else "")
        + "; a measured step reaches half-way to its neighbours."
        + (f" Members: {_listed(chosen)} of {len(there)}; members=a,b chooses." if left else "")
        + (" Values below 1/10,000 of the largest are dark." if options.scale == "log" else ""),
        tables={"cells": columns_table(cells)},
        panels=panels,
        colour=Shades(
            title=WORDS[options.value], domain=(low, top if top > low else low + 1.0), scale=options.scale
        ),
        per_row=1 if len(panels) == 1 else 2 if len(panels) in (2, 4) else 3,
    )


def _cells(rows: pl.DataFrame, options: SpectrumOptions) -> list[dict[str, Cell]]:
    """A rectangle per frequency and measured step."""
    n = len(rows)
    keep = (
        range(n)
        if n <= MAX_STEPS
        else sorted({round(i * (n - 1) / (MAX_STEPS - 1)) for i in range(MAX_STEPS)})
    )
    rows = rows[list(keep)]
    steps = rows["step"].to_list()
    edges = edges_between(steps, is_log=options.x == "log")
    cells: list[dict[str, Cell]] = []
    for member, step, values, begin, to in zip(
        rows["member"], steps, rows[COLUMN].to_list(), edges[:-1], edges[1:], strict=True
    ):
        total = sum(v * v for v in values[options.lowest :]) or 1.0
        for frequency, strength in enumerate(values):
            if frequency >= options.lowest:
                place: dict[str, Cell] = {
                    "member": member,
                    "name": str(member),
                    "step": step,
                    "frequency": frequency,
                }
                sides: dict[str, Cell] = {
                    "begin": begin, "to": to, "low": frequency - 0.5, "high": frequency + 0.5
                }  # fmt: skip
                cells.append({**place, **sides, "strength": float(strength), "share": strength**2 / total})
    return cells


def edges_between(steps: Sequence[int], *, is_log: bool) -> list[float]:
    """Half-way places between neighbours, on the axis's own scale; the first and last cell are symmetric."""
    laid = [math.log1p(step) if is_log else float(step) for step in steps]
    middles = [(a + b) / 2 for a, b in itertools.pairwise(laid)]
    half = (laid[-1] - middles[-1]) if middles else 0.5
    first = laid[0] - (middles[0] - laid[0]) if middles else laid[0] - 0.5
    edges = [max(0.0, first), *middles, laid[-1] + half]
    return [math.expm1(edge) if is_log else edge for edge in edges]


def _listed(members: Sequence[int]) -> str:
    return ", ".join(map(str, members[:12])) + (", ..." if len(members) > 12 else "")
