"""The events of a run: when each member memorised and generalised, how much later, and what became of it."""

import math
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from epochal.analysis import detect, first_passage
from epochal.analysis.curves.many import grokking_many
from epochal.core.values.event import Event
from epochal.core.values.learning import NO_ESTIMATE, Estimate, Grokking

THRESHOLD = 0.99
"""Accuracy that the field calls solved; the passage through it is reported beside the transition."""

CURVES = {"memorisation": ("train_accuracy", "train"), "generalisation": ("val_accuracy", "val")}
MEMBERS_PER_WORKER = 32
"""A process costs a second to start, a member a tenth."""

Row = dict[str, object]


def events_of(
    metrics: pl.DataFrame,
    trials: Sequence[dict[str, int]],
    progress: Callable[[int, int], None] = lambda _done, _of: None,
    *,
    diverged: Collection[int] = (),
) -> list[Row]:
    """Rows of the events table: per member the transition of each curve, the passage through 99%, and more.

    Where a member has both curves, also ``delay`` and ``ratio`` (``step`` with interval ``low``, ``high``:
    a number of steps, or a ratio), ``plateau`` (``height`` with its interval ``low``, ``high``: the accuracy
    of validation from step ``onset`` to ``end``), ``loss`` where generalisation was lost again, and
    ``learning``, whose ``reason`` is the outcome, a colon, and why. ``trials`` holds, per member, the number
    of examples behind an accuracy of each split. A member that diverged is judged by the records it has.
    """
    groups = {int(g["member"][0]): g for g in metrics.partition_by("member", maintain_order=True)}
    curves = {name: (column, split) for name, (column, split) in CURVES.items() if column in metrics.columns}
    measured = {
        member: {
            name: group.filter(pl.col(column).is_not_null()).select("step", column)
            for name, (column, _) in curves.items()
        }
        for member, group in groups.items()
    }
    both = [m for m, of in measured.items() if len(of) == 2 and not any(c.is_empty() for c in of.values())]
    compound = grokking_many(
        [_job(groups[m], trials[m], has_diverged=m in diverged) for m in both],
        workers=min(os.cpu_count() or 1, 1 + len(both) // MEMBERS_PER_WORKER),
        progress=progress,
    )
    found = dict(zip(both, compound, strict=True))
    rows: list[Row] = []
    for member, of in measured.items():
        for name, curve in of.items():
            if curve.is_empty():
                continue
            column, split = curves[name]
            steps, values = curve["step"].to_numpy(), curve[column].to_numpy()
            event: Event = (
                getattr(found[member], name)
                if member in found
                else detect(steps, values, kind="accuracy", trials=trials[member][split])
            )
            passage = first_passage(steps, values, THRESHOLD)
            rows += [_row(member, key, column, e) for key, e in ((name, event), (f"{name}_99", passage))]
        if member in found:
            rows += _compound(member, found[member])
    return rows


def _job(group: pl.DataFrame, trials: dict[str, int], *, has_diverged: bool) -> dict[str, Any]:
    return {
        "steps": group["step"].to_list(),
        "train": group["train_accuracy"].to_list(),
        "val": group["val_accuracy"].to_list(),
        "train_trials": trials["train"],
        "val_trials": trials["val"],
        "diverged": has_diverged,
    }


def _row(member: int, name: str, probe: str, event: Event) -> Row:
    return {"member": member, "name": name, "probe": probe} | event.as_row()


def _compound(member: int, found: Grokking) -> list[Row]:
    column = CURVES["generalisation"][0]
    rows = [
        _row(member, name, column, _estimated(estimate, words))
        for name, estimate, words in (
            ("delay", found.delay, "steps from memorisation to generalisation"),
            ("ratio", found.ratio, "step of generalisation over that of memorisation"),
        )
    ]
    plateau = _estimated(found.plateau, f"validation over {found.plateau_records} records")
    rows.append(
        _row(member, "plateau", column, plateau)
        | {"step": None, "height": _known(found.plateau.value)}
        | {"onset": _known(found.plateau_from), "end": _known(found.plateau_to)}
    )
    if found.loss is not None:
        rows.append(_row(member, "loss", column, found.loss))
    learning = replace(
        _estimated(NO_ESTIMATE, f"{found.outcome}: {found.reason}"),
        found=found.outcome in ("grokked", "learnt at once", "lost again"),
    )
    return [*rows, _row(member, "learning", column, learning)]


def _estimated(estimate: Estimate, what: str) -> Event:
    """A number with its interval in the form of an event, so that all rows have the same columns."""
    is_there = math.isfinite(estimate.value)
    is_limit = not is_there and math.isfinite(estimate.low)
    return Event(
        found=is_there,
        step=estimate.value,
        low=estimate.low,
        high=estimate.high,
        width=math.nan,
        onset=math.nan,
        end=math.nan,
        height=math.nan,
        censored="right" if is_limit else "none",
        reason=what,
        p=math.nan,
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
