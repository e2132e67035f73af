"""The last or best value of a column against a varied field, one line per value of another field."""

from dataclasses import replace

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Cell, Colour, FigureSpec, Layer, Panel
from epochal.report.against import (
    INTERVAL_WORDS,
    FieldScale,
    chosen_field,
    columns_table,
    field_axis,
    middle,
    ordered,
    places,
    short_texts,
    values_of,
)
from epochal.report.axes import domain_of
from epochal.report.figure import Options, figure, option
from epochal.report.per_member import Which, column_values
from epochal.report.reading import MAX_GROUPS, MAX_HUES, RunLike, is_replicate, member_table, varied_fields


class FinalOptions(Options):
    column: str = option("val_accuracy", "column of the metrics")
    value: Which = option("last", "last or first finite value, best, highest or lowest")
    x: str = option("auto", "varied field along x; auto = the one with most values")
    lines: str = option("auto", "field with a line per value; auto or none")
    x_scale: FieldScale = option("auto", "scale of the field")
    y: str = option("linear", "scale of the values: linear or log")


@figure(
    "last or best value of a column against a varied field, a line per value of another field",
    options=FinalOptions,
)
def final(run: RunLike, options: FinalOptions) -> FigureSpec:
    if options.y not in ("linear", "log"):
        raise UserError(f"y={options.y} is not allowed: y is linear or log")
    taken = () if options.lines in ("auto", "none") else (options.lines,)
    x = chosen_field(run, options.x, option="x", besides=taken)
    line = _line_field(run, x, options.lines)
    found = column_values(run, options.column, options.value)
    if options.y == "log" and found and min(found.values()) <= 0:
        raise UserError(f"y=log has no place for {options.column}={min(found.values()):g}; take linear")
    if not found:
        raise UserError(f"{run.name} has no finite {options.column} to draw")
    along = values_of(run, x)
    lines: dict[int, Cell] = values_of(run, line) if line else dict.fromkeys(found, "")
    axis = field_axis(x, ordered(list(along.values())), options.x_scale)
    line_texts = short_texts(list(lines.values()))
    labels = dict(member_table(run).select("member", "label").iter_rows())
    points: list[dict[str, Cell]] = []
    medians: list[dict[str, Cell]] = []
    others = ordered(list(lines.values()))
    for number, other in enumerate(others):
        drawn = places(list(along.values()), axis, number, len(others))
        for value in ordered(list(along.values())):
            members = [m for m in found if along[m] == value and lines[m] == other]
            if not members:
                continue
            place: dict[str, Cell] = {x: value, "x": drawn[value], "line": line_texts[other]}
            points += [{**place, "member": m, "label": labels[m], "value": found[m]} for m in members]
            centre, low, high = middle([found[m] for m in members])
            medians.append({**place, "median": centre, "low": low, "high": high, "members": len(members)})
    colour = _colour(line, list(line_texts.values()), lines) if line else None
    repeated = max(int(str(row["members"])) for row in medians) > 1
    pooled = [f for f in varied_fields(run) if not is_replicate(f) and f not in (x, line)]
    values = [row["value"] for row in points]
    is_share = options.column.endswith("accuracy") and options.y == "linear"
    low, high = domain_of([values], "log" if options.y == "log" else "linear")
    domain = (0.0, 1.0) if is_share else (low / 1.2, high * 1.2) if options.y == "log" else None
    words = f"{options.value} {options.column.replace('_', ' ')}"
    y = Axis(label=words, scale="log" if options.y == "log" else "linear", domain=domain)
    return FigureSpec(
        name=f"final-{options.column}",
        title=f"{words.capitalize()} against {axis.label}",
        caption=_caption(repeated, pooled, options),
        tables={"members": columns_table(points), "medians": columns_table(medians)},
        panels=(Panel(x=axis, y=y, layers=_layers(bool(line), repeated), height=280),),
        colour=colour,
    )


def _layers(is_coloured: bool, repeated: bool) -> tuple[Layer, ...]:
    colour = "line" if is_coloured else None
    hover = {"label": "member", "value": "value"}
    line = Layer(mark="line", table="medians", x="x", y="median", by=colour, colour=colour)
    bars = Layer(mark="interval", table="medians", x="x", y="low", y2="high", colour=colour)
    dots = Layer(mark="point", table="members", x="x", y="value", colour=colour, hover=hover)
    if not repeated:
        return line, dots
    medians = Layer(mark="point", table="medians", x="x", y="median", colour=colour)
    return bars, line, medians, replace(dots, emphasis="faint")


def _caption(repeated: bool, pooled: list[str], options: FinalOptions) -> str:
    best = " (the highest accuracy, the lowest loss)" if options.value == "best" else ""
    return (
        f"Points: the {options.value} finite value of each member{best}; diverged members until then."
        + (f" Lines: medians; {INTERVAL_WORDS}." if repeated else "")
        + (f" Pooled: {', '.join(pooled)}." if pooled else "")
    )


def _colour(field: str, texts: list[str], lines: dict[int, Cell]) -> Colour:
    is_numeric = not any(isinstance(value, str) for value in lines.values())
    return Colour(title=field, values=tuple(texts), ordered=is_numeric)


def _line_field(run: RunLike, x: str, given: str) -> str | None:
    if given == "none":
        return None
    if given != "auto":
        return chosen_field(run, given, option="lines", besides=(x,))
    for field in varied_fields(run):
        most = MAX_GROUPS if run.members.schema[field].is_numeric() else MAX_HUES
        if field != x and not is_replicate(field) and 1 < run.members[field].n_unique() <= most:
            return field
    return None
