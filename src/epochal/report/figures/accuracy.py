"""Accuracy of training and validation data against the step."""

from epochal.core.values.figure import FigureSpec
from epochal.report.curves import CurveOptions, columns_of, curves_of, paired_figure
from epochal.report.figure import figure
from epochal.report.reading import RunLike


def on_page(run: RunLike) -> CurveOptions | None:
    return CurveOptions() if columns_of(run, "accuracy") else None


@figure(
    "accuracy of training and validation data against the step, with medians and events",
    options=CurveOptions,
    on_page=on_page,
    place=10,
)
def accuracy(run: RunLike, options: CurveOptions) -> FigureSpec:
    return paired_figure(curves_of(run, options), "accuracy", options)
