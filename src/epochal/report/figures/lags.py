"""How much later one event is than another, run by run, beside the margin within which they count as one."""

import math

import numpy as np

from epochal.analysis import same_time
from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Cell, Colour, Emphasis, FigureSpec, Layer, Panel, Shape
from epochal.core.values.finding import Finding
from epochal.report.against import columns_table
from epochal.report.event_times import (
    Timed,
    arm_fields,
    arm_labels,
    arm_title,
    common,
    replicate_label,
    timed,
)
from epochal.report.figure import Options, figure, option
from epochal.report.pair import margin_steps
from epochal.report.reading import MAX_HUES, RunLike, label_of

MAX_NAMED = 40
MAX_ROWS = 300
MAX_LETTERS = 24
"""Longer names would lie on the marks."""


class LagOptions(Options):
    a: str = option("memorisation", "an event, or a column whose transition is the event")
    b: str = option("generalisation", "the event that may come with it")
    margin: str = option("2rec", "same time: steps, or record intervals as 2rec")
    arms: tuple[str, ...] = option((), "fields that tell arms apart, as a,b; empty = all that vary")


@figure("lag of two events in every run, with the margin band and censored runs", options=LagOptions)
def lags(run: RunLike, options: LagOptions) -> FigureSpec:
    a, b, unknown = common(timed(run, options.a), timed(run, options.b))
    margin = margin_steps(options.margin, a, b)
    fields = arm_fields(run, options.arms)
    labels = arm_labels(run, a.members, fields)
    arms = list(dict.fromkeys(labels))
    is_coloured = 1 < len(arms) <= MAX_HUES
    rows = rows_of(run, a, b, labels)
    neither = len(a.members) - len(rows)
    if not rows:
        raise UserError(f"neither {a.name} nor {b.name} happened in any of {len(a.members)} members")
    rows.sort(key=lambda row: (float(str(row["lag"])), str(row["kind"])))
    num = len(rows)
    rows = rows if num <= MAX_ROWS else [rows[i * num // MAX_ROWS] for i in range(MAX_ROWS)]
    for place, row in enumerate(rows):
        row["row"] = float(len(rows) - place)
    names = [replicate_label(run, int(str(row["member"])), fields if is_coloured else ()) for row in rows]
    longest = max(map(len, names))
    named = len(rows) <= MAX_NAMED and longest <= MAX_LETTERS
    mean = mean_of(a, b, margin)
    low, high = domain_of(rows, margin, mean, letters=longest if named else 0)
    tables: dict[str, dict[str, list[Cell]]] = {
        "margin": {"lag": [-margin, margin], "bottom": [-0.6, -0.6], "top": [len(rows) + 1.0] * 2},
        "zero": {"lag": [0.0]},
    }
    layers = [
        Layer(mark="band", table="margin", x="lag", y="bottom", y2="top"),
        Layer(mark="rule", table="zero", x="lag"),
    ]
    for kind, shape in SHAPES.items():
        chosen = [row for row in rows if row["kind"] == kind]
        if chosen:
            layers += marks(kind, shape, named, "colour" if is_coloured else None)
            tables[kind] = columns_table(chosen)
    if named:
        tables["labels"] = {
            "left": [low] * len(rows),
            "row": [row["row"] for row in rows],
            "label": list(names),
        }
        layers.append(Layer(mark="text", table="labels", x="left", y="row", text="label"))
    if mean is not None:
        tables["mean"] = mean_table(mean, low, high)
        layers += [
            Layer(mark="interval", table="mean", x="low", x2="high", y="row", emphasis="strong"),
            Layer(mark="point", table="mean", x="lag", y="row", emphasis="strong"),
        ]
        if named:
            layers.append(Layer(mark="text", table="mean", x="left", y="row", text="label"))
    words = [name.replace("_", " ") for name in (a.name, b.name)]
    x = Axis(label=f"{words[1]} after {words[0]}", unit="steps", domain=(low, high))
    y = Axis(label="" if named else "run", domain=(-0.6, len(rows) + 1.0), bare=True)
    height = max(90, min(560, round((17 if named else 2.6) * (len(rows) + 1)) + 20))
    return FigureSpec(
        name="lags",
        title=f"Lag of {words[1]} behind {words[0]}",
        caption=caption(rows, num, neither, unknown, margin, mean),
        tables=tables,
        panels=(Panel(x=x, y=y, layers=tuple(layers), height=height),),
        colour=Colour(title=arm_title(fields), values=tuple(arms)) if is_coloured else None,
    )


SHAPES: dict[str, Shape] = {"both": "dot", "only_a": "arrow", "only_b": "arrow_left"}
"""What is drawn of a run: its lag, or the limit beyond which the lag lies."""


def rows_of(run: RunLike, a: Timed, b: Timed, labels: list[str]) -> list[dict[str, Cell]]:
    """A row for every run in which one of the two happened."""
    rows: list[dict[str, Cell]] = []
    for i, member in enumerate(a.members):
        happened = bool(a.happened[i]), bool(b.happened[i])
        about: dict[str, Cell] = {"member": member, "label": label_of(run, member), "colour": labels[i]}
        if happened == (True, True):
            lag = float(b.step[i] - a.step[i])
            low, high = float(b.shown_low[i] - a.shown_high[i]), float(b.shown_high[i] - a.shown_low[i])
            rows.append({**about, "kind": "both", "lag": lag, "low": min(low, lag), "high": max(high, lag)})
        elif happened == (True, False):
            lag = float(b.low[i] - a.step[i])
            rows.append({**about, "kind": "only_a", "lag": lag, "low": lag, "high": lag})
        elif happened == (False, True):
            lag = float(b.step[i] - a.low[i])
            rows.append({**about, "kind": "only_b", "lag": lag, "low": lag, "high": lag})
    return rows


def marks(kind: str, shape: Shape, named: bool, colour: str | None) -> list[Layer]:
    hover = {"label": "run", "lag": "lag", "low": "from", "high": "to"}
    size: Emphasis = "plain" if named else "faint"
    about = {"table": kind, "y": "row", "colour": colour, "hover": hover}
    layers = [Layer(mark="point", x="lag", shape=shape, emphasis=size, **about)]  # type: ignore[arg-type]
    if kind == "both":
        layers.insert(0, Layer(mark="interval", x="low", x2="high", emphasis=size, **about))  # type: ignore[arg-type]
    return layers


def mean_of(a: Timed, b: Timed, margin: float) -> Finding | None:
    """The centre of the lags with its interval; None where there are too few."""
    intervals = np.maximum(a.record_interval, b.record_interval)
    try:
        return same_time(a.intervals, b.intervals, margin=margin, record_interval=intervals, power=None)
    except UserError:
        return None


def domain_of(
    rows: list[dict[str, Cell]], margin: float, mean: Finding | None, *, letters: int
) -> tuple[float, float]:
    """Everything that is finite, the margin on both sides, and room for names at the left."""
    ends = [float(str(row[key])) for row in rows for key in ("low", "high")] + [-1.3 * margin, 1.3 * margin]
    if mean is not None:
        ends += [v for v in (mean.low, mean.high) if v is not None and math.isfinite(v)]
    low, high = min(ends), max(ends)
    # A letter takes a fortieth of a narrow panel.
    left = min(0.9, 0.03 * letters + 0.06) if letters else 0.03
    return low - left * (high - low), high + 0.03 * (high - low)


def mean_table(mean: Finding, low: float, high: float) -> dict[str, list[Cell]]:
    def inside(value: float | None, otherwise: float) -> float:
        return otherwise if value is None or not math.isfinite(value) else min(max(value, low), high)

    centre = inside(mean.estimate, low)
    word = "mean" if "mean" in mean.test else "median"
    return {
        "row": [0.0],
        "lag": [centre],
        "low": [inside(mean.low, low)],
        "high": [inside(mean.high, high)],
        "left": [low],
        "label": [word],
    }


def caption(
    rows: list[dict[str, Cell]], num: int, neither: int, unknown: int, margin: float, mean: Finding | None
) -> str:
    words = [f"One row per run, by lag; shaded: the margin of {margin:g} steps on either side of 0."]
    if any(row["kind"] == "both" for row in rows):
        words.append("Bars: from the earliest to the latest lag that both intervals allow.")
    if any(row["kind"] == "only_a" for row in rows):
        words.append("Triangles to the right: the second had not happened by then.")
    if any(row["kind"] == "only_b" for row in rows):
        words.append("Triangles to the left: the first had not happened by then.")
    if mean is not None:
        centre = "mean" if "mean" in mean.test else "median"
        words.append(f"Bottom: {centre} lag with its {100 * mean.level:.0f}% interval.")
    if neither:
        words.append(f"Neither happened in {neither} more.")
    if unknown:
        words.append(f"{unknown} with too few records are left out.")
    if len(rows) < num:
        words.append(f"{len(rows)} of {num} runs are drawn, evenly chosen.")
    return " ".join(words)
