"""The best value of a column against a varied field, a panel per setting of the others."""

from dataclasses import replace
from statistics import median
from typing import get_args

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
    values_of,
)
from epochal.report.axes import domain_of
from epochal.report.figure import Options, figure, option
from epochal.report.per_member import Which, column_values
from epochal.report.reading import RunLike, member_table, varied_fields
from epochal.report.settings import left_out, settings_of

WORDS = {"best": "best", "last": "final", "first": "first", "highest": "highest", "lowest": "lowest"}
FRACTION = "train_fraction"


class BestOptions(Options):
    column: str = option("val_accuracy", "column of the metrics")
    values: tuple[str, ...] = option(("best", "last"), "of first, last, best, highest, lowest, as a,b")
    x: str = option("auto", "varied field along x; auto = train_fraction, else the one with most values")
    settings: tuple[str, ...] = option((), "fields with a panel per combination, as a,b; none = all others")
    x_scale: FieldScale = option("auto", "scale of the field")


@figure(
    "best and final value of a column against a varied field (train_fraction), a panel per setting",
    options=BestOptions,
)
def best_accuracy(run: RunLike, options: BestOptions) -> FigureSpec:
    known = get_args(Which)
    for which in options.values:
        if which not in known:
            raise UserError(f"values={which} is not allowed: values are {', '.join(known)}")
    if not options.values:
        raise UserError("values= is empty; give values=best,last")
    has_fraction = options.x == "auto" and FRACTION in varied_fields(run)
    x = FRACTION if has_fraction else chosen_field(run, options.x, option="x", besides=options.settings)
    if x in options.settings:
        raise UserError(f"x={x} lies along the axis; take it out of settings={','.join(options.settings)}")
    along = values_of(run, x)
    axis = field_axis(x, ordered(list(along.values())), options.x_scale)
    settings = settings_of(run, besides=[x], fields=options.settings, along=along)
    labels = dict(member_table(run).select("member", "label").iter_rows())
    points: list[dict[str, Cell]] = []
    medians: list[dict[str, Cell]] = []
    for number, which in enumerate(options.values):
        found = column_values(run, options.column, which)  # type: ignore[arg-type]
        drawn = places(list(along.values()), axis, number, len(options.values))
        for setting in dict.fromkeys(settings.values()):
            for value in ordered(list(along.values())):
                members = [m for m in found if along[m] == value and settings.get(m) == setting]
                if not members:
                    continue
                place: dict[str, Cell] = {x: value, "at": drawn[value], "setting": setting}
                place["curve"] = WORDS[which]
                points += [{**place, "member": m, "label": labels[m], "value": found[m]} for m in members]
                centre, low, high = middle([found[m] for m in members])
                medians.append({**place, "median": centre, "low": low, "high": high, "members": len(members)})
    if not points:
        raise UserError(f"{run.name} has no finite {options.column} to draw")
    made = _figure(options, axis, points, medians, list(dict.fromkeys(settings.values())))
    return replace(made, caption=made.caption + left_out(run, settings, x))


def _figure(
    options: BestOptions,
    axis: Axis,
    points: list[dict[str, Cell]],
    medians: list[dict[str, Cell]],
    settings: list[str],
) -> FigureSpec:
    repeated = median([int(str(row["members"])) for row in medians]) > 1
    is_share = options.column.endswith("accuracy")
    words = options.column.replace("_", " ")
    domain = (0.0, 1.0) if is_share else domain_of([[row["value"] for row in points]], "linear")
    y = Axis(label=words, unit="fraction correct" if is_share else "", domain=domain)
    hover = {"label": "member", "curve": "which", "value": "value"}
    panels = []
    for setting in settings:
        about = {"x": "at", "colour": "curve", "where": ("setting", setting)}
        layers = [Layer(mark="line", table="medians", y="median", by="curve", **about)]  # type: ignore[arg-type]
        if repeated:
            layers.insert(0, Layer(mark="interval", table="medians", y="low", y2="high", **about))  # type: ignore[arg-type]
        has_several = any(int(str(row["members"])) > 1 for row in medians if row["setting"] == setting)
        size = "faint" if repeated and has_several else "plain"
        layers.append(Layer(mark="point", table="members", y="value", hover=hover, emphasis=size, **about))  # type: ignore[arg-type]
        panels.append(Panel(x=axis, y=y, layers=tuple(layers), title=setting, height=200))
    lines = "; ".join(f"{WORDS[which]}: the {_meaning(which, options.column)}" for which in options.values)
    return FigureSpec(
        name=f"best-{options.column}",
        title=f"{words.capitalize()} against {axis.label}",
        caption=f"{lines[0].upper()}{lines[1:]}. Points: members; lines: medians."
        + (f" {INTERVAL_WORDS.capitalize()}." if repeated else ""),
        tables={"members": columns_table(points), "medians": columns_table(medians)},
        panels=tuple(panels),
        colour=Colour(title="", values=tuple(WORDS[which] for which in options.values)),
        per_row=per_row_of(len(panels)),
    )


def per_row_of(num_panels: int) -> int:
    """Rows of two for four panels, of four for eight or many, else of three."""
    return 2 if num_panels in (2, 4) else 4 if num_panels in (7, 8) or num_panels > 12 else 3


def _meaning(which: str, column: str) -> str:
    if which == "best":
        return "highest recorded value" if column.endswith("accuracy") else "lowest recorded value"
    return {"last": "last finite value", "first": "first finite value"}.get(which, f"{which} recorded value")
