"""Transitions of a column of a population, member by member: one event each, or all that a curve did."""

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal

import polars as pl

from epochal.analysis.curves.many import as_event
from epochal.analysis.curves.many import run as run_jobs
from epochal.core.values.errors import UserError
from epochal.report.reading import RunLike, label_of
from epochal.store.split_sizes import split_sizes

CURVES_PER_WORKER = 32
"""A process costs a second to start, a curve a tenth."""
Progress = Callable[[int, int], None]
Kind = Literal["accuracy", "positive", "real"]
POSITIVE_WORDS = ("loss", "norm", "perplexity", "ppl", "penalty", "nll", "irm", "mse", "entropy", "sharpness")


def found_in(
    run: RunLike,
    column: str,
    kind: Kind,
    *,
    trials: float | None = None,
    min_height: float | None = None,
    progress: Progress = lambda _done, _of: None,
) -> list[dict[str, Any]]:
    """Rows of the events table: the clearest transition of a column in every member that has it.

    Raises:
        UserError: the values do not fit the kind.
    """
    jobs = curve_jobs(run, column, kind, trials=trials, min_height=min_height)
    answers = answered(run, "detect", column, jobs, progress)
    return [
        {"member": member, "name": column, "probe": column} | as_event(answer).as_row()
        for member, answer in answers.items()
    ]


def curve_jobs(
    run: RunLike, column: str, kind: Kind, *, trials: float | None = None, min_height: float | None = None
) -> dict[int, dict[str, Any]]:
    """What a detector is asked of each member that has the column: its records, and what is known of them."""
    known = {} if trials is not None or kind != "accuracy" else trials_of(run, column)
    measured = run.metrics.filter(pl.col(column).is_not_null())
    curves = {int(g["member"][0]): g for g in measured.partition_by("member", maintain_order=True)}
    return {
        member: {
            "steps": curves[member]["step"].to_list(),
            "values": curves[member][column].cast(pl.Float64).to_list(),
            "kind": kind,
            "trials": (trials or known.get(member)) if kind == "accuracy" else None,
            "min_height": min_height,
        }
        for member in run.members["member"]
        if member in curves
    }


def answered(
    run: RunLike, task: str, column: str, jobs: Mapping[int, dict[str, Any]], progress: Progress
) -> dict[int, dict[str, Any]]:
    """What a task of `epochal.analysis.serve` says of each member, over processes where there are many.

    Raises:
        UserError: the values of a member do not fit; it is named.
    """
    workers = min(os.cpu_count() or 1, 1 + len(jobs) // CURVES_PER_WORKER)
    try:
        answers = run_jobs(task, list(jobs.values()), workers, progress)
    except UserError as error:
        for member, job in jobs.items():
            try:
                run_jobs(task, [job], 1, lambda _done, _of: None)
            except UserError as own:
                raise UserError(f"{column} of {label_of(run, member)}: {own}") from own
        raise UserError(f"{column}: {error}") from error
    return dict(zip(jobs, answers, strict=True))


def kind_of(run: RunLike, column: str) -> Kind:
    """``accuracy`` by name and range, ``positive`` by name where all values are, else ``real``."""
    values = run.metrics[column].cast(pl.Float64)
    values = values.filter(values.is_finite())
    if not len(values):
        return "real"
    low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
    lower = column.lower()
    if ("acc" in lower or "top1" in lower) and low >= 0 and high <= 1:
        return "accuracy"
    is_wide = low > 0 and high >= 100 * low
    return "positive" if low > 0 and (is_wide or any(w in lower for w in POSITIVE_WORDS)) else "real"


def trials_of(run: RunLike, column: str) -> dict[int, float]:
    """Examples behind an accuracy, by member, where the run says how many its split has."""
    split = column.split("_", maxsplit=1)[0]
    sizes = split_sizes(run.spec, run.environment, run.members["member"])
    return {member: float(of[split]) for member, of in sizes.items() if of.get(split)}


def changes_in(
    run: RunLike,
    column: str,
    kind: Kind,
    *,
    trials: float | None = None,
    min_height: float | None = None,
    progress: Progress = lambda _done, _of: None,
) -> dict[int, dict[str, Any]]:
    """What `detect_all` says by member: ``shape``, ``events``, ``excursions``, ``period``, ``reason``."""
    jobs = curve_jobs(run, column, kind, trials=trials, min_height=min_height)
    return answered(run, "changes", column, jobs, progress)
