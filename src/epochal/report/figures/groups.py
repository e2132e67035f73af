"""Accuracy by group of target and cue over training: who is served."""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Literal

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Cell, Colour, FigureSpec, Layer, Panel
from epochal.report.curve_tables import step_axis
from epochal.report.figure import Options, figure, option
from epochal.report.probed import has_columns, rows_with
from epochal.report.reading import MAX_HUES, RunLike, member_table

PROBE, BY_GROUP = "groups", "group_accuracy"
SUMMARY = {
    "aligned_accuracy": "cue agrees",
    "conflicting_accuracy": "cue disagrees",
    "worst_group_accuracy": "worst group",
}
MAX_CONDITIONS = 8
MAX_SINGLE = 12


class GroupFigureOptions(Options):
    which: Literal["summary", "groups"] = option(
        "summary", "examples whose cue agrees, disagrees and the worst group; or every group"
    )
    x: Literal["log", "linear"] = option("log", "scale of the steps; log has a place for 0")
    table: str = option("", "part of a table's file name, where the probe was measured with several options")


def on_page(run: RunLike) -> GroupFigureOptions | None:
    return GroupFigureOptions() if has_columns(run, tuple(SUMMARY)) else None


@figure(
    "accuracy over training where the cue agrees, where it disagrees and in the worst group",
    options=GroupFigureOptions,
    on_page=on_page,
    place=15,
)
def groups(run: RunLike, options: GroupFigureOptions) -> FigureSpec:
    is_summary = options.which == "summary"
    columns = tuple(SUMMARY) if is_summary else (BY_GROUP,)
    rows = rows_with(run, columns, PROBE, options.table)
    every = _summary(rows) if is_summary else _by_group(run, rows)
    curves = {what: curve for what, curve in every.items() if curve}
    if not curves:
        raise UserError(f"{run.name} has no group with examples, hence no accuracy of one")
    conditions = _conditions(run)
    if len(conditions) > MAX_CONDITIONS:
        raise UserError(
            f"{run.name} has {len(conditions)} conditions, more than {MAX_CONDITIONS} panels; keep some with "
            "--only FIELD=VALUES"
        )
    tables: dict[str, dict[str, list[Cell]]] = {}
    panels = []
    y = Axis(label="validation accuracy", unit="fraction correct", domain=(0.0, 1.0))
    for place, (title, members) in enumerate(conditions.items()):
        lines, middles = f"members_{place}", f"medians_{place}"
        is_single = len(members) > 1 and len(members) <= MAX_SINGLE
        tables[middles] = _medians(curves, members)
        layers = [
            Layer(
                mark="line", table=middles, x="step", y="value", by="what", colour="what", emphasis="strong"
            )
        ]
        if is_single:
            tables[lines] = _lines(curves, members)
            faint = Layer(
                mark="line", table=lines, x="step", y="value", by="line", colour="what", emphasis="faint"
            )
            layers.insert(0, faint)
        panels.append(Panel(x=step_axis(run, options.x), y=y, layers=tuple(layers), title=title, height=240))
    return FigureSpec(
        name="groups",
        title="Accuracy by the group of target and cue",
        caption="Of validation examples, by whether the cue agrees with the target; strong: medians over "
        "members. A network that reads nothing but the cue is right on all that agree and on no other.",
        tables=tables,
        panels=tuple(panels),
        colour=Colour(title="", values=tuple(curves)),
        per_row=1 if len(panels) == 1 else 2,
    )


Curve = dict[int, list[tuple[int, float]]]
"""By member, steps with finite values."""


def _summary(rows: pl.DataFrame) -> dict[str, Curve]:
    return {words: _curve(rows, column) for column, words in SUMMARY.items()}


def _by_group(run: RunLike, rows: pl.DataFrame) -> dict[str, Curve]:
    number = int(rows[BY_GROUP].list.len().max() or 0)  # type: ignore[arg-type]
    if number > MAX_HUES:
        raise UserError(f"{run.name} has {number} groups, more than {MAX_HUES} colours; take which=summary")
    has_cue = run.spec.get("fields", {}).get("cue", "none") != "none"
    made = {}
    for group in range(number):
        # Without a cue groups are classes.
        words = f"target {group // 2}, cue {'agrees' if group % 2 else 'disagrees'}"
        of_group = rows.with_columns(pl.col(BY_GROUP).list.get(group))
        made[words if has_cue else f"target {group}"] = _curve(of_group, BY_GROUP)
    return made


def _curve(rows: pl.DataFrame, column: str) -> Curve:
    kept: Curve = {}
    for member, step, value in rows.select("member", "step", column).iter_rows():
        if value is not None and math.isfinite(value):
            kept.setdefault(member, []).append((step, value))
    return kept


def _conditions(run: RunLike) -> dict[str, list[int]]:
    """Members that differ in their seeds only, under the words for what else they have."""
    found: dict[str, list[int]] = {}
    for member, colour, facet in member_table(run).select("member", "colour", "facet").iter_rows():
        found.setdefault(" · ".join(filter(None, (colour, facet))), []).append(member)
    return found


def _medians(curves: Mapping[str, Curve], members: Sequence[int]) -> dict[str, list[Cell]]:
    """Where at least half of the members were measured."""
    table: dict[str, list[Cell]] = {"what": [], "step": [], "value": []}
    for what, curve in curves.items():
        at: dict[int, list[float]] = {}
        for member in members:
            for step, value in curve.get(member, []):
                at.setdefault(step, []).append(value)
        for step in sorted(step for step, values in at.items() if 2 * len(values) >= len(members)):
            row: list[Cell] = [what, step, median(at[step])]
            for column, cell in zip(table.values(), row, strict=True):
                column.append(cell)
    return table


def _lines(curves: Mapping[str, Curve], members: Sequence[int]) -> dict[str, list[Cell]]:
    table: dict[str, list[Cell]] = {"what": [], "line": [], "step": [], "value": []}
    for what, curve in curves.items():
        for member in members:
            for step, value in curve.get(member, []):
                row: list[Cell] = [what, f"{what} {member}", step, value]
                for column, cell in zip(table.values(), row, strict=True):
                    column.append(cell)
    return table
