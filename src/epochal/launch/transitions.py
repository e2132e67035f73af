"""The events of a run: when each member memorised and when it generalised."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from epochal.analysis import detect, first_passage
from epochal.core.values.event import Event

Steps = NDArray[np.int64]
Values = NDArray[np.float64]

THRESHOLD = 0.99
"""Accuracy that the field calls solved; the passage through it is reported beside the transition."""

CURVES = {"memorisation": ("train_accuracy", "train"), "generalisation": ("val_accuracy", "val")}


def events_of(
    metrics: pl.DataFrame,
    trials: Sequence[dict[str, int]],
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> list[dict[str, object]]:
    """Rows of the events table: per member and curve the transition, and the passage through 99%.

    ``trials`` holds, per member, the number of examples behind an accuracy of each split. A member that
    diverged is judged by the records it has.
    """
    rows: list[dict[str, object]] = []
    curves = {name: (column, split) for name, (column, split) in CURVES.items() if column in metrics.columns}
    groups = metrics.partition_by("member", maintain_order=True)
    for done, group in enumerate(groups):
        member = int(group["member"][0])
        memorised = math.inf
        for name, (column, split) in curves.items():
            measured = group.filter(pl.col(column).is_not_null())
            if measured.is_empty():
                continue
            steps, values = measured["step"].to_numpy(), measured[column].to_numpy()
            found = {
                name: _transition(steps, values, trials[member][split], memorised),
                f"{name}_99": first_passage(steps, values, THRESHOLD),
            }
            if name == "memorisation" and found[f"{name}_99"].found:
                memorised = found[f"{name}_99"].high
            rows += [
                {"member": member, "name": key, "probe": column} | e.as_row() for key, e in found.items()
            ]
        progress(done + 1, len(groups))
    return rows


def _transition(steps: Steps, values: Values, trials: int, memorised: float) -> Event:
    """The largest transition: of the whole curve, or of its part after memorisation.

    Validation often rises a little while a network memorises and much more afterwards. A single transition
    fitted to both may settle on the first, sharper one; the later part has none but the second.
    """
    whole = detect(steps, values, kind="accuracy", trials=trials)
    late = steps >= memorised
    if not late.any():
        return whole
    after = detect(steps[late], values[late], kind="accuracy", trials=trials)
    return after if after.found and not (whole.found and whole.height >= after.height) else whole
