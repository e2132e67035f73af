"""One number per member: the step of an event or a threshold, a delay, the last or best value of a column."""

import math
from typing import Literal

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean
from epochal.report.reading import RunLike, check_columns, measured_columns
from epochal.report.timeline import PRIMARY

Which = Literal["last", "best", "highest", "lowest", "first"]


def passage_steps(run: RunLike, column: str, threshold: float) -> dict[int, float]:
    """The first record at which a column has reached the threshold, inf where none did."""
    [column] = check_columns(run, [column])
    reached = run.metrics.filter(pl.col(column).is_finite() & (pl.col(column) >= threshold))
    first = dict(reached.group_by("member").agg(pl.col("step").min()).iter_rows())
    return {member: float(first.get(member, math.inf)) for member in run.members["member"]}


def last_steps(run: RunLike) -> dict[int, float]:
    """The last record of each member."""
    found = dict(run.metrics.group_by("member").agg(pl.col("step").max()).iter_rows())
    return {member: float(found.get(member, 0)) for member in run.members["member"]}


def event_steps(run: RunLike, name: str) -> dict[int, float]:
    """The step of an event, inf where it had not happened by the last record; members without a row are left
    out."""
    found = run.events.filter(pl.col("name") == name) if len(run.events) else run.events
    return {
        row["member"]: math.inf if row["step"] is None or row["censored"] == "right" else float(row["step"])
        for row in found.iter_rows(named=True)
    }


def delays(run: RunLike) -> dict[int, float]:
    """Steps from memorisation to generalisation; inf where either had not happened."""
    first, second = (event_steps(run, name) for name in PRIMARY)
    return {
        member: second[member] - first[member] if math.isfinite(first[member]) else math.inf
        for member in first
        if member in second
    }


def column_values(run: RunLike, column: str, which: Which) -> dict[int, float]:
    """A finite value of a column per member: its first, last, highest or lowest.

    ``best`` is the highest of an accuracy and the lowest of a loss.

    Raises:
        UserError: no such column, or ``best`` of one that has no better end.
    """
    [column] = check_columns(run, [column])
    if which == "best":
        if not column.endswith(("accuracy", "loss")):
            raise UserError(f"value=best is not known for {column}: take last, highest or lowest")
        which = "highest" if column.endswith("accuracy") else "lowest"
    value = pl.col(column).cast(pl.Float64)
    how = {"first": value.first(), "last": value.last(), "highest": value.max(), "lowest": value.min()}[which]
    finite = run.metrics.filter(value.is_finite()).sort("member", "step")
    return dict(finite.group_by("member", maintain_order=True).agg(how.alias("value")).iter_rows())


def quantity(run: RunLike, name: str) -> tuple[dict[int, float], str, bool]:
    """What a name stands for: an event, ``delay``, or the last value of a column; its words; whether it is a
    step.

    Raises:
        UserError: none of these.
    """
    events = list(dict.fromkeys(run.events["name"])) if len(run.events) else []
    if name in events:
        return event_steps(run, name), f"step of {name.replace('_', ' ')}", True
    if name == "delay" and set(PRIMARY) <= set(events):
        return delays(run), "delay of generalisation (steps)", True
    if name in measured_columns(run):
        return column_values(run, name, "last"), f"last {name.replace('_', ' ')}", False
    known = ["class", *events, *(["delay"] if set(PRIMARY) <= set(events) else []), *measured_columns(run)]
    raise UserError(f"value={name} is unknown to {run.name}{did_you_mean(name, known)}")
