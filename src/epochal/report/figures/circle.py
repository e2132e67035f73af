"""The embeddings of the numbers in a plane, before and after training."""

import math
from collections.abc import Sequence
from typing import Literal

from epochal.core.values.figure import Axis, Cell, FigureSpec, Layer, Panel, Shades
from epochal.report.against import columns_table
from epochal.report.figure import Options, figure, option
from epochal.report.probed import has_columns, rows_of
from epochal.report.reading import RunLike, member_table

PROBE = "embedding_plane"
COLUMNS = ("principal_1", "principal_2", "circle_1", "circle_2", "circle_frequency")
ROOM = 0.075
"""Least distance, in widths of a panel, between two points that both get their number."""


class CircleOptions(Options):
    member: int = option(0, "whose embedding")
    steps: tuple[str, ...] = option(("first", "last"), "steps with a panel each, as first,1000,last")
    plane: Literal["circle", "principal"] = option(
        "circle", "circle: that of the strongest frequency; principal: the first two principal components"
    )
    table: str = option("", "part of a table's file name, where the probe was measured with several options")


def on_page(run: RunLike) -> CircleOptions | None:
    return CircleOptions() if has_columns(run, COLUMNS) else None


@figure(
    "embeddings of the numbers in the plane of one frequency, before and after training",
    options=CircleOptions,
    on_page=on_page,
    place=61,
)
def circle(run: RunLike, options: CircleOptions) -> FigureSpec:
    by_step = rows_of(run, options.member, options.steps, COLUMNS, PROBE, table=options.table, what="plane")
    points: list[dict[str, Cell]] = []
    panels = []
    for step, row in by_step.items():
        x, y = row[f"{options.plane}_1"], row[f"{options.plane}_2"]
        reach = 1.12 * max(map(abs, [*x, *y]), default=0.0) or 1.0
        named = readable(x, y, ROOM * 2 * reach)
        panel = f"step {step:,}"
        points += [
            {"panel": panel, "step": step, "number": k, "x": a, "y": b, "text": str(k) if k in named else ""}
            for k, (a, b) in enumerate(zip(x, y, strict=True))
        ]
        panels.append(_panel(options.plane, panel, reach, round(row["circle_frequency"])))
    num = len(next(iter(by_step.values()))["circle_1"])
    labels = dict(member_table(run).select("member", "label").iter_rows())
    whose = f" Member: {labels[options.member]}." if len(run.members) > 1 else ""
    plane = (
        "its strongest Fourier frequency, by the cosine and sine parts"
        if options.plane == "circle"
        else "the first two principal components, about the mean"
    )
    return FigureSpec(
        name="circle" if options.plane == "circle" else "circle-principal",
        title="Embeddings of the numbers",
        caption=f"Points: the numbers 0 to {num - 1} in the plane of {plane}; each panel has its own "
        f"scale, equal along both axes.{whose}"
        + (" Where points are close, only one has its number." if num > 20 else ""),
        tables={"points": columns_table(points)},
        panels=tuple(panels),
        colour=Shades(title="number", domain=(0.0, max(1.0, num - 1.0))),
        per_row=2 if len(panels) in (2, 4) else 3 if len(panels) > 2 else 1,
    )


def readable(x: Sequence[float], y: Sequence[float], room: float) -> set[int]:
    """Points that get their number: each in turn, where none with a number is nearer than ``room``, and no
    point lies where the number would stand, to the right."""
    named: list[int] = []
    for k in range(len(x)):
        is_free = all(math.hypot(x[k] - x[other], y[k] - y[other]) >= room for other in named)
        is_covered = any(
            0 < x[other] - x[k] < 1.3 * room and abs(y[other] - y[k]) < 0.4 * room for other in range(len(x))
        )
        if is_free and not is_covered:
            named.append(k)
    return set(named)


def _panel(plane: str, name: str, reach: float, frequency: int) -> Panel:
    """A square with its own scale, the same along both axes."""
    if plane == "circle":
        title, words = f"{name}, frequency {frequency}", ("cosine part", "sine part")
    else:
        title, words = name, ("principal component 1", "principal component 2")
    axes = [Axis(label=label, domain=(-reach, reach)) for label in words]
    hover = {"number": "number"}
    where = ("panel", name)
    point = Layer(mark="point", table="points", x="x", y="y", colour="number", where=where, hover=hover)
    number = Layer(mark="text", table="points", x="x", y="y", text="text", where=where)
    return Panel(x=axes[0], y=axes[1], layers=(point, number), title=title, height=330, square=True)
