"""Every other recorded column against the step, a panel each."""

from dataclasses import replace

import polars as pl

from epochal.core.values.figure import FigureSpec
from epochal.report.curves import CurveOptions, columns_of, curves_of, other_figure
from epochal.report.figure import figure, option
from epochal.report.reading import RunLike, check_columns, measured_columns

MAX_PANELS = 24
"""Unless columns are named: logs of other programs may have a column per tensor."""

DRAWN_ELSEWHERE = ("llc", "local_complexity", "robust_accuracy")
"""What has a figure of its own (llc, complexity, robustness), with its errors and verdicts. With them here a
run against attacks had a dozen panels more, and coefficients without a word on whether chains had settled."""


class MeasureOptions(CurveOptions):
    columns: tuple[str, ...] = option(
        (), "columns, as a,b; none = all but accuracy and loss, and what has a figure of its own"
    )


def others(run: RunLike) -> list[str]:
    """All but accuracy and loss, and but what has a figure of its own, or what other programs log as a column
    and is one number per member."""
    paired = [*columns_of(run, "accuracy"), *columns_of(run, "loss")]
    rest = [column for column in measured_columns(run) if column not in paired]
    if run.spec.get("experiment") != "imported" or not rest:
        return [column for column in rest if not column.startswith(DRAWN_ELSEWHERE)]
    distinct = run.metrics.group_by("member").agg(pl.col(c).drop_nulls().n_unique() for c in rest)
    return [column for column in rest if int(str(distinct[column].max())) > 1]


def on_page(run: RunLike) -> MeasureOptions | None:
    return MeasureOptions() if others(run) else None


@figure(
    "other recorded columns (weight norm, ...) against the step, a panel each",
    options=MeasureOptions,
    on_page=on_page,
    place=50,
)
def measures(run: RunLike, options: MeasureOptions) -> FigureSpec:
    columns = check_columns(run, options.columns) if options.columns else others(run)
    drawn = columns if options.columns else columns[:MAX_PANELS]
    made = other_figure(curves_of(run, options), drawn, options)
    if len(drawn) == len(columns):
        return made
    rest = f"{len(columns) - len(drawn)} more columns were recorded; columns=a,b draws them."
    return replace(made, caption=f"{made.caption} {rest}")
