"""A phase diagram: what became of members, over the grid of two varied fields."""

import math
from collections.abc import Sequence
from statistics import median

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Cell, Colour, FigureSpec, Layer, Panel, Shades
from epochal.report.against import chosen_field, columns_table, ordered, short_texts, values_of
from epochal.report.figure import Options, figure, option
from epochal.report.per_member import passage_steps, quantity
from epochal.report.reading import RunLike, is_replicate, measured_columns, varied_fields

CLASSES = ("confusion", "memorisation", "grokking", "comprehension")
"""By how much was learned, and how soon."""
CURVES = ("train_accuracy", "val_accuracy")
Groups = dict[tuple[Cell, Cell], list[int]]


class PhaseOptions(Options):
    x: str = option("auto", "varied field to the right; auto = the one with most values")
    y: str = option("auto", "varied field upwards")
    value: str = option("class", "class, an event such as generalisation, delay, or a column: its last value")
    threshold: float = option(0.9, "accuracy from which a set counts as learned, for class")
    ratio: float = option(2.0, "grokking: validation was learned after more than this many times the steps")
    delay: float = option(
        0.0, "grokking: learned at least this many steps later, in place of the ratio; 0: ratio"
    )
    within: float = option(0.0, "steps in which a set must be learned; 0: all that were recorded")
    scale: str = option("auto", "scale of the colours: auto, log or linear")


def on_page(run: RunLike) -> PhaseOptions | None:
    """Where two fields cross: some value of one goes with several of the other, and the reverse."""
    fields = [f for f in varied_fields(run) if not is_replicate(f) and run.members[f].n_unique() > 1]
    if len(fields) != 2 or not set(CURVES) <= set(measured_columns(run)):
        return None
    num_cells = len(run.members.select(fields).unique())
    return PhaseOptions() if num_cells > max(run.members[f].n_unique() for f in fields) else None


@figure(
    "phase diagram over two varied fields: outcome class, the step of an event, or a column's last value",
    options=PhaseOptions,
    on_page=on_page,
    place=30,
)
def phase(run: RunLike, options: PhaseOptions) -> FigureSpec:
    x = chosen_field(run, options.x, option="x", besides=() if options.y == "auto" else (options.y,))
    y = chosen_field(run, options.y, option="y", besides=(x,))
    if x == y:
        raise UserError(f"x={x} and y={y} are one field; a phase diagram needs two")
    along, up = values_of(run, x), values_of(run, y)
    groups: Groups = {}
    for member in run.members["member"]:
        groups.setdefault((along[member], up[member]), []).append(member)
    texts = [short_texts(list(values.values())) for values in (along, up)]
    axes = [
        Axis(label=f, scale="category", order=tuple(t.values())) for f, t in zip((x, y), texts, strict=True)
    ]
    names = [f if f not in ("x", "y") else f"field_{f}" for f in (x, y)]
    rank = {value: i for i, value in enumerate(ordered(list(up.values())))}
    places = {
        cell: {names[0]: cell[0], names[1]: cell[1], "x": texts[0][cell[0]], "y": texts[1][cell[1]]}
        for cell in sorted(groups, key=lambda cell: rank[cell[1]])
    }
    rest = [f for f in varied_fields(run) if f not in (x, y) and not is_replicate(f)]
    pooled = f" Pooled: {', '.join(rest)}." if rest else ""
    height = max(160, min(420, 16 * len(texts[1]) + 40))
    if options.value == "class":
        return _classes(run, options, groups, places, axes, height, pooled)
    return _numbers(run, options, groups, places, axes, height, pooled)


def classes_of(
    run: RunLike, threshold: float, ratio: float, delay: float = 0.0, within: float = 0.0
) -> dict[int, str]:
    """The class of each member by the first records at which its accuracies have reached the threshold.

    Grokking is validation after more than ``ratio`` times the steps, or where ``delay`` is positive, at least
    ``delay`` steps later. Liu et al. 2022 (table 1): threshold 0.9 within 100,000 steps, delay 1,000. What is
    learned after ``within`` steps is not learned.
    """
    train, val = (
        {m: step if not within or step <= within else math.inf for m, step in found.items()}
        for found in (passage_steps(run, column, threshold) for column in CURVES)
    )
    found = {}
    for member, learned in train.items():
        if math.isfinite(val[member]):
            is_late = val[member] > ratio * max(learned, 1.0)
            if delay:
                is_late = val[member] - learned >= delay
            found[member] = "grokking" if is_late else "comprehension"
        else:
            found[member] = "memorisation" if math.isfinite(learned) else "confusion"
    return found


def _classes(
    run: RunLike,
    options: PhaseOptions,
    groups: Groups,
    places: dict[tuple[Cell, Cell], dict[str, Cell]],
    axes: Sequence[Axis],
    height: int,
    pooled: str,
) -> FigureSpec:
    if options.delay < 0 or options.within < 0:
        raise UserError("delay and within are steps: 0 or more; Liu et al. take delay=1000 within=100000")
    classes = classes_of(run, options.threshold, options.ratio, options.delay, options.within)
    rows, mixed = [], []
    for cell, place in places.items():
        ranks = sorted(CLASSES.index(classes[m]) for m in groups[cell])
        counts = {name: sum(r == i for r in ranks) for i, name in enumerate(CLASSES)}
        row = {**place, "phase": CLASSES[ranks[(len(ranks) - 1) // 2]], **counts}
        rows.append(row)
        if ranks[0] != ranks[-1]:
            mixed.append(place)
    hover = {"x": axes[0].label, "y": axes[1].label, "phase": "class", **{name: name for name in CLASSES}}
    layers = [Layer(mark="cell", table="cells", x="x", y="y", colour="phase", hover=hover)]
    tables = {"cells": columns_table(rows)}
    many = max(map(len, groups.values())) > 1
    late = (
        f"{options.delay:,.0f} or more steps later"
        if options.delay
        else f"after more than {options.ratio:g} times the steps"
    )
    when = f"≥ {options.delay:,.0f} steps later" if options.delay else f"> {options.ratio:g} × training steps"
    within = f" by step {options.within:,.0f}" if options.within else ""
    caption = (
        f"Learned: the accuracy reached {options.threshold:g} at some record"
        + (f" up to step {options.within:,.0f}" if options.within else "")
        + f". Comprehension: training and validation data were learned; grokking: validation data {late}"
        + "; memorisation: training data only; confusion: neither."
        + (" Cells show the median class of their members" if many else "")
        + ("; dots: members of a cell differ." if mixed else "." if many else "")
        + pooled
    )
    if mixed:
        tables["mixed"] = columns_table(mixed)
        layers.append(Layer(mark="point", table="mixed", x="x", y="y", emphasis="faint"))
    return FigureSpec(
        name="phase",
        title=f"Phases over {axes[0].label} and {axes[1].label}",
        caption=caption,
        tables=tables,
        panels=(
            Panel(
                x=axes[0],
                y=axes[1],
                layers=tuple(layers),
                title=f"learned: accuracy ≥ {options.threshold:g}{within}, grokking: validation {when}",
                height=height,
            ),
        ),
        colour=Colour(title="", values=CLASSES, ordered=True),
    )


def _numbers(
    run: RunLike,
    options: PhaseOptions,
    groups: Groups,
    places: dict[tuple[Cell, Cell], dict[str, Cell]],
    axes: Sequence[Axis],
    height: int,
    pooled: str,
) -> FigureSpec:
    found, words, is_step = quantity(run, options.value)
    rows: list[dict[str, Cell]] = []
    censored: list[dict[str, Cell]] = []
    for cell, place in places.items():
        values = [found[m] for m in groups[cell] if m in found]
        if not values:
            continue
        middle = median(values)
        row = {**place, "members": len(values), "reached": sum(map(math.isfinite, values))}
        (rows if math.isfinite(middle) else censored).append({**row, "value": middle})
    hover = {"x": axes[0].label, "y": axes[1].label, "members": "members"}
    if is_step:
        hover["reached"] = "of them with the event"
    layers, tables = [], {}
    if rows:
        tables["cells"] = columns_table(rows)
        about = {"value": words, **hover}
        layers.append(Layer(mark="cell", table="cells", x="x", y="y", colour="value", hover=about))
    if censored:
        tables["censored"] = columns_table(censored)
        layers.append(Layer(mark="cell", table="censored", x="x", y="y", hover=hover))
        layers.append(
            Layer(mark="point", table="censored", x="x", y="y", shape="cross", emphasis="faint", hover=hover)
        )
    if not layers:
        raise UserError(f"{run.name} has no finite {options.value} to draw")
    many = max(map(len, groups.values())) > 1
    caption = (
        (f"Median {words} of the members of a cell." if many else f"{words.capitalize()}.")
        + (" Grey with a cross: not reached by half of them by the last record." if censored else "")
        + pooled
    )
    return FigureSpec(
        name=f"phase-{options.value}",
        title=f"{words.capitalize()} over {axes[0].label} and {axes[1].label}",
        caption=caption,
        tables=tables,
        panels=(Panel(x=axes[0], y=axes[1], layers=tuple(layers), height=height),),
        colour=_shades([float(str(row["value"])) for row in rows], words, options.scale),
    )


def _shades(values: Sequence[float], words: str, scale: str) -> Shades:
    low, high = (min(values), max(values)) if values else (1.0, 10.0)
    is_log = low > 0 and (scale == "log" or (scale == "auto" and high > 10 * low))
    if scale == "log" and not is_log:
        raise UserError(f"scale=log has no place for {low:g}; take linear")
    if high == low:
        low, high = (low / 2, high * 2) if is_log else (low - 0.5, high + 0.5)
    return Shades(title=words, domain=(low, high), scale="log" if is_log else "linear")
