"""When each member memorised and generalised: one row per member, with intervals and what was not reached."""

import polars as pl

from epochal.core.values.figure import Axis, Cell, Colour, FigureSpec, Layer, Panel
from epochal.report.reading import Grouping, RunLike

PRIMARY = ("memorisation", "generalisation")
MAX_NAMED = 40
"""Up to this many rows are named."""
MAX_ROWS = 300


def has_primary_events(run: RunLike) -> bool:
    return len(run.events) > 0 and bool(set(PRIMARY) & set(run.events["name"]))


def timeline_figure(run: RunLike, groups: Grouping, members: pl.DataFrame, x: Axis) -> FigureSpec | None:
    """Rings for memorisation, dots with intervals for generalisation; None without such events."""
    events = run.events
    if not has_primary_events(run):
        return None
    first, second = (
        {e["member"]: e for e in events.filter(pl.col("name") == n).iter_rows(named=True)} for n in PRIMARY
    )
    outcomes = {row["member"]: row for row in run.members.iter_rows(named=True)}
    order = {value: i for i, value in enumerate(groups.values)}

    def place(member: dict[str, Cell]) -> tuple[object, ...]:
        event = second.get(member["member"])
        step = event["step"] if event else None
        last = outcomes[member["member"]]["outcome_step"]
        return (
            groups.facets.index(str(member["facet"])) if groups.facet else 0,
            order.get(str(member["colour"]), 0),
            (step is None),
            (-(last or 0) if step is None else step),
        )

    rows = sorted(members.iter_rows(named=True), key=place)
    rows = rows if len(rows) <= MAX_ROWS else [rows[i * len(rows) // MAX_ROWS] for i in range(MAX_ROWS)]
    named = len(rows) <= MAX_NAMED
    marks: list[dict[str, Cell]] = []
    delays: list[dict[str, Cell]] = []
    for i, row in enumerate(rows):
        base = {
            "row": row["label"] if named else float(len(rows) - i),
            "label": row["label"],
            "facet": row["facet"],
        }
        for name, event in zip(PRIMARY, (first.get(row["member"]), second.get(row["member"])), strict=True):
            colour = row["colour"] if groups.colour else name
            if event:
                marks.append(base | {"colour": colour, "event": name} | _mark(event))
        a, b = first.get(row["member"]), second.get(row["member"])
        if (
            named
            and a
            and b
            and a["step"] is not None
            and (end := b["step"] if b["step"] is not None else b["low"]) is not None
        ):
            delays.append(base | {"colour": row["colour"], "step": a["step"], "end": end})
        outcome = outcomes[row["member"]]
        if outcome["outcome"] == "diverged" and outcome["outcome_step"] is not None:
            colour = row["colour"] if groups.colour else PRIMARY[1]
            marks.append(
                base
                | {"colour": colour, "event": "diverged", "kind": "diverged"}
                | _at(outcome["outcome_step"])
            )
    if not marks:
        return None
    return _figure(groups, x, marks, delays, named, len(rows), len(members))


def _figure(
    groups: Grouping,
    x: Axis,
    marks: list[dict[str, Cell]],
    delays: list[dict[str, Cell]],
    named: bool,
    num_rows: int,
    num_members: int,
) -> FigureSpec:
    hover = {"label": "member", "event": "event", "step": "step", "low": "from", "high": "to"}
    tables = {
        kind: _columns([m for m in marks if m["kind"] == kind])
        for kind in dict.fromkeys(str(m["kind"]) for m in marks)
    }
    layers = []
    if delays:
        tables["delays"] = _columns(delays)
        layers.append(Layer(mark="interval", table="delays", x="step", x2="end", y="row", emphasis="faint"))
    shapes = {"memorised": "ring", "generalised": "dot", "not_reached": "arrow", "diverged": "cross"}
    bar = "strong" if named else "plain"
    for kind, shape in shapes.items():
        if kind not in tables:
            continue
        about = {"table": kind, "y": "row", "colour": "colour", "hover": hover}
        if kind in ("memorised", "generalised"):
            layers.append(Layer(mark="interval", x="low", x2="high", emphasis=bar, **about))  # type: ignore[arg-type]
        size = "faint" if not named else "plain" if shape in ("ring", "dot") else "strong"
        layers.append(Layer(mark="point", x="step", shape=shape, emphasis=size, **about))  # type: ignore[arg-type]
    y = Axis(
        label="" if named else "member",
        scale="category" if named else "linear",
        bare=not named,
        domain=None if named else (0.0, num_rows + 1.0),
    )
    which = "" if num_rows == num_members else f" {num_rows} of {num_members} members, evenly chosen."
    caption = (
        "One row per member. Rings: memorisation; dots: generalisation; bars: their intervals"
        + ("; the line between them is the delay." if delays else ".")
        + (" Triangles: not reached by that step." if "not_reached" in tables else "")
        + (" Crosses: diverged." if "diverged" in tables else "")
        + which
    )
    panel = Panel(
        x=x,
        y=y,
        layers=tuple(layers),
        height=max(90, min(560, round((17 if named else 2.6) * num_rows) + 20)),
    )
    colour = groups.scale or Colour(title="", values=PRIMARY)
    return FigureSpec(
        name="events",
        title="When each member memorised and generalised",
        caption=caption,
        tables=tables,
        panels=(panel,),
        colour=colour,
    )


def _mark(event: dict[str, Cell]) -> dict[str, Cell]:
    """Where an event is drawn: at its step, or at the last step by which it had not happened."""
    step, low, high = event["step"], event["low"], event["high"]
    if event["censored"] == "right" or step is None:
        known = low if low is not None else high
        return {"kind": "not_reached"} | _at(known)
    kind = "memorised" if event["name"] == PRIMARY[0] else "generalised"
    return {
        "kind": kind,
        "step": step,
        "low": low if low is not None else step,
        "high": high if high is not None else step,
    }


def _at(step: Cell) -> dict[str, Cell]:
    return {"step": step, "low": step, "high": step}


def _columns(rows: list[dict[str, Cell]]) -> dict[str, list[Cell]]:
    return {name: [row[name] for row in rows] for name in rows[0]}
