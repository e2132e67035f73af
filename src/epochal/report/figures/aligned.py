"""Curves moved so that an event lies at 0 in every member, with their median and how many are behind it."""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Cell, Colour, FigureSpec, Layer, Panel
from epochal.report.against import columns_table, middle
from epochal.report.detecting import kind_of
from epochal.report.event_times import Timed, timed, usual_event
from epochal.report.figure import Options, figure, option
from epochal.report.reading import RunLike, check_columns, grouping, member_table

MAX_LINES = 60
NUM_PLACES = 121
MIN_FOR_MEDIAN = 3


class AlignedOptions(Options):
    event: str = option("auto", "an event, or a column whose transition is the event")
    columns: tuple[str, ...] = option((), "columns to draw, as a,b; empty = the event's own")
    window: float = option(0.0, "steps drawn on either side of the event; 0 = three times its width")
    colour: str = option("none", "field that gives the colour, a median each; auto or none")


@figure("curves aligned at an event, with median, its interval and the runs at risk", options=AlignedOptions)
def aligned(run: RunLike, options: AlignedOptions) -> FigureSpec:
    if options.window < 0:
        raise UserError(f"window={options.window:g} must be a number of steps, or 0 for one that fits")
    name = usual_event(run) if options.event == "auto" else options.event
    times = timed(run, name)
    if not times.happened.any():
        raise UserError(f"{name} happened in none of {len(times.members)} members: nothing to align")
    columns = check_columns(run, options.columns or (times.column,))
    groups = grouping(run, options.colour)
    about = {row["member"]: row for row in member_table(run, groups).iter_rows(named=True)}
    at = {m: float(s) for m, s in zip(times.members, times.step, strict=True) if math.isfinite(s)}
    low, high = window_of(run, times, options.window)
    places = np.linspace(low, high, NUM_PLACES)
    drawn = set(list(at)[:: -(-len(at) // MAX_LINES)])
    tables: dict[str, dict[str, list[Cell]]] = {}
    panels = []
    x = Axis(label=f"steps from {name.replace('_', ' ')}", unit="completed updates", domain=(low, high))
    is_coloured = groups.colour is not None
    risk: list[dict[str, Cell]] = []
    for number, column in enumerate(columns):
        lines, medians = tables_of(run, column, at, about, drawn, places, groups.values or ("",))
        if number == 0:
            risk = [{"lag": r["lag"], "colour": r["colour"], "runs": r["runs"]} for r in medians]
        medians = [r for r in medians if r["median"] is not None]
        key = f"lines_{number}"
        tables[key] = columns_table(lines, ("lag", "value", "member", "label", "colour"))
        tables[f"medians_{number}"] = columns_table(
            medians, ("lag", "median", "low", "high", "colour", "runs")
        )
        is_log = kind_of(run, column) == "positive"
        values = [float(str(r["value"])) for r in lines if r["value"] is not None]
        y = Axis(
            label=column.replace("_", " "),
            scale="log" if is_log else "linear",
            domain=(min(values) / 1.1, max(values) * 1.1)
            if is_log
            else (0.0, 1.0)
            if kind_of(run, column) == "accuracy"
            else None,
        )
        colour = "colour" if is_coloured else None
        middle_of = {"table": f"medians_{number}", "x": "lag", "by": colour, "colour": colour}
        layers = [
            Layer(mark="band", y="low", y2="high", **middle_of),  # type: ignore[arg-type]
            Layer(
                mark="line",
                table=key,
                x="lag",
                y="value",
                by="member",
                colour=colour,
                emphasis="faint",
                hover={"label": "member"},
            ),
            Layer(mark="line", y="median", emphasis="strong", **middle_of),  # type: ignore[arg-type]
            Layer(mark="rule", table="event", x="at"),
        ]
        if not medians:
            layers = [replace(layers[1], emphasis="plain"), layers[3]]
            del tables[f"medians_{number}"]
        panels.append(Panel(x=replace(x, label="", unit=""), y=y, layers=tuple(layers), height=200))
    tables["event"] = {"at": [0.0]}
    tables["at_risk"] = columns_table(risk, ("lag", "colour", "runs"))
    most = max((int(str(r["runs"])) for r in risk), default=1)
    colour = "colour" if is_coloured else None
    count = Layer(mark="line", table="at_risk", x="lag", y="runs", by=colour, colour=colour)
    panels.append(
        Panel(
            x=x,
            y=Axis(label="runs", domain=(0.0, max(6.0, most * 1.05))),
            layers=(count, Layer(mark="rule", table="event", x="at")),
            height=50,
        )
    )
    return FigureSpec(
        name="aligned",
        title=f"Aligned at {name.replace('_', ' ')}",
        caption=caption(times, len(at), len(drawn), bool(any(t.startswith("medians") for t in tables))),
        tables=tables,
        panels=tuple(panels),
        colour=Colour(title=groups.colour, values=groups.values, ordered=groups.is_ordered)
        if groups.colour
        else None,
        per_row=1,
    )


def window_of(run: RunLike, times: Timed, given: float) -> tuple[float, float]:
    """From three widths before to three after, at least ten record intervals, no further than the records."""
    happened = times.happened
    first = float(run.metrics["step"].min() or 0)  # type: ignore[arg-type]
    before = float(np.max(times.step[happened])) - first
    after = float(np.max(times.followed[happened] - times.step[happened]))
    if given:
        return -min(given, before) or -given, min(given, after) or given
    widths = widths_of(run, times)
    reach = max(3 * widths, 10 * float(np.median(times.record_interval[happened])), 1.0)
    return -min(reach, max(before, 1.0)), min(reach, max(after, 1.0))


def widths_of(run: RunLike, times: Timed) -> float:
    """The median width of the event, 0 where none is known."""
    if not len(run.events):
        return float(np.median((times.shown_high - times.shown_low)[times.happened]))
    rows = run.events.filter((run.events["name"] == times.name) & run.events["width"].is_finite())
    found = rows["width"].drop_nulls()
    return float(found.median()) if len(found) else 0.0  # type: ignore[arg-type]


def tables_of(
    run: RunLike,
    column: str,
    at: dict[int, float],
    about: dict[int, dict[str, Cell]],
    drawn: set[int],
    places: Float[np.ndarray, "T"],
    colours: tuple[str, ...],
) -> tuple[list[dict[str, Cell]], list[dict[str, Cell]]]:
    """Every drawn curve at its own records, and per place the median over the members observed there."""
    lines: list[dict[str, Cell]] = []
    values: dict[str, list[Float[np.ndarray, "T"]]] = {colour: [] for colour in colours}
    for member, own in (
        run.metrics.select("member", "step", column)
        .drop_nulls(column)
        .group_by("member", maintain_order=True)
    ):
        number = int(str(member[0]))
        if number not in at:
            continue
        lag = own["step"].to_numpy().astype(float) - at[number]
        value = own[column].to_numpy().astype(float)
        finite = np.isfinite(value)
        lag, value = lag[finite], value[finite]
        if len(lag) < 2:
            continue
        colour = str(about[number]["colour"])
        values.setdefault(colour, []).append(np.interp(places, lag, value, left=np.nan, right=np.nan))
        if number in drawn:
            near = (lag >= places[0]) & (lag <= places[-1])
            lines += [
                {
                    "lag": float(x),
                    "value": float(v),
                    "member": number,
                    "label": about[number]["label"],
                    "colour": colour,
                }
                for x, v in zip(lag[near], value[near], strict=True)
            ]
    medians: list[dict[str, Cell]] = []
    for colour, curves in values.items():
        for i, place in enumerate(places):
            there = [float(c[i]) for c in curves if np.isfinite(c[i])]
            row: dict[str, Cell] = {"lag": float(place), "colour": colour, "runs": len(there)}
            if len(there) >= MIN_FOR_MEDIAN and 2 * len(there) >= len(curves):
                centre, low, high = middle(there)
                row |= {"median": centre, "low": low, "high": high}
            else:
                row |= {"median": None, "low": None, "high": None}
            medians.append(row)
    return lines, medians


def caption(times: Timed, num: int, num_drawn: int, has_median: bool) -> str:
    without = len(times.members) - num
    words = ["One line per member." if num_drawn == num else f"Lines: {num_drawn} of {num} members."]
    if has_median:
        words.append(
            "Thick: median where at least half are observed; band: its 95% interval (order statistics; the "
            "range with fewer than 6)."
        )
    words.append("Below: how many members are observed there.")
    if without:
        words.append(f"{without} members without the event have no place here.")
    return " ".join(words)
