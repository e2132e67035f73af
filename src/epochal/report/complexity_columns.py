"""What the recorded columns of local complexity hold: kinds of points, radii, layers."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from epochal.report.reading import RunLike

NAME = "local_complexity"
TOTAL = "local_complexity_total"
ERROR = "local_complexity_error"
"""Of the total."""
LAYER_ERROR = "local_complexity_layer_error"
USUAL_RADIUS = (0.005,)


def columns_of_complexity(run: RunLike, name: str = TOTAL) -> dict[str, str]:
    """Columns that were measured, each with its kind of points: the label, or the split."""
    return {
        column: at_label.partition("@")[2] or str(options(run, "").get("split", "train"))
        for column in run.metrics.columns
        if (at_label := column).partition("@")[0] == name and run.metrics[column].drop_nulls().len()
    }


def options(run: RunLike, label: str) -> Mapping[str, Any]:
    """The options that were set for a recorded probe of this label."""
    prefix = f"{NAME}@{label}." if label else f"{NAME}."
    given = run.spec.get("fields", {}).get("probe_options") or {}
    return {name.removeprefix(prefix): value for name, value in given.items() if name.startswith(prefix)}


def radii(run: RunLike, column: str) -> tuple[float, ...]:
    """Of a recorded column, in the order of its array."""
    found = options(run, column.partition("@")[2]).get("radius", USUAL_RADIUS)
    return tuple(float(r) for r in (found if isinstance(found, list | tuple) else [found]))


def is_array(run: RunLike, column: str) -> bool:
    return isinstance(run.metrics.schema[column], pl.List)
