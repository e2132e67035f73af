"""Every other recorded column against the step, a panel each."""

from epochal.core.values.figure import FigureSpec
from epochal.report.curves import CurveOptions, columns_of, curves_of, other_figure
from epochal.report.figure import figure, option
from epochal.report.reading import RunLike, check_columns, measured_columns


class MeasureOptions(CurveOptions):
    columns: tuple[str, ...] = option((), "columns, as a,b; none = all but accuracy and loss")


def others(run: RunLike) -> list[str]:
    paired = [*columns_of(run, "accuracy"), *columns_of(run, "loss")]
    return [column for column in measured_columns(run) if column not in paired]


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
    return other_figure(curves_of(run, options), columns, options)
