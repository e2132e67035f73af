"""Steps until training and validation accuracy reach a threshold, against a varied field."""

import math
from dataclasses import replace

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Cell, Colour, Emphasis, FigureSpec, Layer, Panel
from epochal.report.against import (
    INTERVAL_WORDS,
    FieldScale,
    chosen_field,
    columns_table,
    field_axis,
    middle,
    ordered,
    places,
    values_of,
)
from epochal.report.curves import SPLITS
from epochal.report.figure import Options, figure, option
from epochal.report.per_member import last_steps, passage_steps
from epochal.report.reading import (
    MAX_FACETS,
    RunLike,
    is_replicate,
    measured_columns,
    member_table,
    setting_words,
    varied_fields,
)
from epochal.report.settings import left_out, settings_of

SETTINGS = "settings"
TOP_ABOVE_LATE = 1.6
"""Ratio of the top of a panel to the last record, at least: there open bars are seen to go on."""
SHARE_ABOVE_LATE = 0.15
"""Of the height of a logarithmic axis: the same where it spans many decades."""


class ThresholdOptions(Options):
    x: str = option("auto", "varied field along x; auto = train_fraction, else the one with most values")
    threshold: float = option(0.99, "value that counts as reached")
    columns: tuple[str, ...] = option(("train_accuracy", "val_accuracy"), "columns, as a,b")
    x_scale: FieldScale = option("auto", "scale of the field")
    panels: str = option("auto", "second varied field, a panel each; auto, none, or settings: all others")


FRACTION = "train_fraction"


def on_page(run: RunLike) -> ThresholdOptions | None:
    """Where enough fractions were trained with for a curve over them."""
    if FRACTION not in varied_fields(run) or run.members[FRACTION].n_unique() < 3:
        return None
    default = ThresholdOptions(x=FRACTION)
    return default if set(default.columns) <= set(measured_columns(run)) else None


@figure(
    "steps until accuracy reaches a threshold, against a varied field, with what was not reached",
    options=ThresholdOptions,
    on_page=on_page,
    place=35,
)
def steps_to_threshold(run: RunLike, options: ThresholdOptions) -> FigureSpec:
    if not options.columns:
        raise UserError("columns= is empty; give columns=train_accuracy,val_accuracy")
    taken = () if options.panels in ("auto", "none", SETTINGS) else (options.panels,)
    has_fraction = options.x == "auto" and FRACTION in varied_fields(run) and FRACTION not in taken
    x = FRACTION if has_fraction else chosen_field(run, options.x, option="x", besides=taken)
    facet = _facet(run, x, options.panels)
    along = values_of(run, x)
    axis = field_axis(x, ordered(list(along.values())), options.x_scale)
    facets: dict[int, Cell] = dict.fromkeys(along, "")
    apart = ""
    if facet == SETTINGS:
        settings = settings_of(run, besides=[x], along=along)
        facets, apart = dict(settings), left_out(run, settings, x)
    elif facet:
        facets = values_of(run, facet)
    labels = dict(member_table(run).select("member", "label").iter_rows())
    ends = last_steps(run)
    points: list[dict[str, Cell]] = []
    medians: list[dict[str, Cell]] = []
    for line, column in enumerate(options.columns):
        drawn = places(list(along.values()), axis, line, len(options.columns))
        steps = passage_steps(run, column, options.threshold)
        groups: dict[tuple[Cell, Cell], list[int]] = {}
        for member in facets.keys() & steps:
            groups.setdefault((along[member], facets[member]), []).append(member)
        for value in ordered(list(along.values())):
            for panel in ordered(list(facets.values())):
                members = groups.get((value, panel), [])
                place: dict[str, Cell] = {
                    "value": value,
                    "x": drawn[value],
                    "curve": _words(column),
                    "facet": str(panel),
                }
                for m in members:
                    reached = math.isfinite(steps[m])
                    step = steps[m] if reached else ends[m]
                    about: dict[str, Cell] = {
                        "label": labels[m],
                        "state": "reached" if reached else "not yet",
                    }
                    points.append({**place, "member": m, **about, "step": step})
                if members:
                    medians.append(
                        place | _median_row([steps[m] for m in members], [ends[m] for m in members])
                    )
    made = _figure(run, options, axis, facet, points, medians)
    return replace(made, caption=made.caption + apart)


def _median_row(steps: list[float], ends: list[float]) -> dict[str, Cell]:
    """The median and its interval, infinite where it lies beyond ``last``, the last record."""
    centre, low, high = middle(steps)
    return {
        "median": centre,
        "low": low,
        "high": high,
        "members": len(steps),
        "reached": sum(map(math.isfinite, steps)),
        "last": max(ends),
    }


def _bars(medians: list[dict[str, Cell]], top: float) -> tuple[list[dict[str, Cell]], bool]:
    """A bar ``low`` to ``high`` per median of several members, and whether some are open.

    An open one, whose upper end was not reached, runs to the ``top`` of the panel: from its lower end, or
    from the last record where not even that was reached.
    """
    several = [row for row in medians if int(str(row["members"])) > 1]
    bars: list[dict[str, Cell]] = []
    for row in several:
        low, high = (float(str(row[end])) for end in ("low", "high"))
        low = low if math.isfinite(low) else float(str(row["last"]))
        bars.append({**row, "low": low, "high": high if math.isfinite(high) else top})
    return bars, any(not math.isfinite(float(str(row["high"]))) for row in several)


def _counts(censored: list[dict[str, Cell]], above: float) -> list[dict[str, Cell]]:
    """How many triangles lie upon each other: a number per curve that has some.

    It stands to the right of the last one, and ``above`` times as high, clear of the next value's triangle.
    """
    stacks: dict[tuple[Cell, ...], dict[Cell, list[Cell]]] = {}
    for point in censored:
        place = (point["facet"], point["value"], point["step"])
        stacks.setdefault(place, {}).setdefault(point["curve"], []).append(point["x"])
    return [
        {
            "facet": facet,
            "x": [xs[0] for xs in stack.values()][-1],
            "step": step,
            "at": float(str(step)) * above,
            "count": "×" + ",".join(str(len(xs)) for xs in stack.values()),
        }
        for (facet, _, step), stack in stacks.items()
        if max(map(len, stack.values())) > 1
    ]


def _figure(
    run: RunLike,
    options: ThresholdOptions,
    axis: Axis,
    facet: str | None,
    points: list[dict[str, Cell]],
    medians: list[dict[str, Cell]],
) -> FigureSpec:
    reached = [p for p in points if p["state"] == "reached"]
    censored = [p for p in points if p["state"] != "reached"]
    found = [row for row in medians if math.isfinite(float(str(row["median"])))]
    shown = [float(str(p["step"])) for p in points]
    low, high = min(shown), max(shown)
    above = max(TOP_ABOVE_LATE, (high / max(low, 1.0)) ** SHARE_ABOVE_LATE) if censored else 1.25
    top = max(high, 1.0) * above
    bars, is_open = _bars(medians, top)
    tables = {"members": columns_table(points), "medians": columns_table(medians)}
    hover = {"label": "member", "curve": "curve", "step": "step"}
    layers = []
    if bars:
        tables["bars"] = columns_table(bars)
        layers.append(Layer(mark="interval", table="bars", x="x", y="low", y2="high", colour="curve"))
    if found:
        tables["found"] = columns_table(found)
        layers.append(Layer(mark="line", table="medians", x="x", y="median", by="curve", colour="curve"))
        if bars:
            layers.append(Layer(mark="point", table="found", x="x", y="median", colour="curve"))
    if reached:
        tables["reached"] = columns_table(reached)
        size: Emphasis = "faint" if bars else "plain"
        at = Layer(mark="point", table="reached", x="x", y="step", colour="curve", hover=hover)
        layers.append(replace(at, emphasis=size))
    if censored:
        tables["not_reached"] = columns_table(censored)
        late = Layer(mark="point", table="not_reached", x="x", y="step", colour="curve", hover=hover)
        layers.append(replace(late, shape="arrow_up", emphasis="plain"))
    if counts := _counts(censored, math.sqrt(above)):
        tables["counts"] = columns_table(counts)
        layers.append(Layer(mark="text", table="counts", x="x", y="at", text="count"))
    y = Axis(
        label="step",
        unit="completed updates",
        scale="log" if low > 0 else "symlog",
        domain=(low / 1.4 if low > 0 else 0.0, top),
    )
    names = list(dict.fromkeys(str(p["facet"]) for p in points))
    panels = [
        Panel(
            x=axis,
            y=y,
            layers=tuple(replace(layer, where=("facet", name)) if facet else layer for layer in layers),
            title=name if facet == SETTINGS else setting_words({facet: name}, [facet]) if facet else "",
            height=200 if len(names) > 3 else 250,
        )
        for name in names
    ]
    apart = (facet, axis.label)
    pooled = [f for f in varied_fields(run) if not is_replicate(f) and f not in apart and facet != SETTINGS]
    caption = (
        f"First record at which the value reached {options.threshold:g}. Points: members"
        + ("; triangles: not reached by that step" if censored else "")
        + (" (×: how many, of each curve there)." if counts else ".")
        + (f" Lines: medians, what was not reached counts as later; {INTERVAL_WORDS}." if bars else "")
        + (" A bar that runs off the top has no upper end: too few reached it." if is_open else "")
        + (f" Pooled: {', '.join(pooled)}." if pooled else "")
    )
    tables = {name: t for name, t in tables.items() if name in {layer.table for layer in layers}}
    return FigureSpec(
        name="steps-to-threshold",
        title=f"Steps to {options.threshold:g} against {axis.label}",
        caption=caption,
        tables=tables,
        panels=tuple(panels),
        per_row=len(panels) if len(panels) < 4 else 2 if len(panels) == 4 else 3 if len(panels) < 13 else 4,
        colour=Colour(title="", values=tuple(dict.fromkeys(map(_words, options.columns)))),
    )


def _facet(run: RunLike, x: str, given: str) -> str | None:
    if given == "none":
        return None
    if given == SETTINGS:
        return given
    if given != "auto":
        return chosen_field(run, given, option="panels", besides=(x,))
    others = [f for f in varied_fields(run) if f != x and not is_replicate(f)]
    can_facet = [f for f in others if 1 < run.members[f].n_unique() <= MAX_FACETS]
    return can_facet[0] if can_facet else None


def _words(column: str) -> str:
    """``training``, or the column where it is no accuracy of a split."""
    split, _, rest = column.partition("_")
    return SPLITS[split] if split in SPLITS and rest == "accuracy" else column.replace("_", " ")
