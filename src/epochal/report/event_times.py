"""When one event happened in every member of a population: stored, or found in a column."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean
from epochal.report.detecting import found_in, kind_of
from epochal.report.reading import (
    RunLike,
    as_text,
    is_replicate,
    label_of,
    measured_columns,
    setting_words,
    varied_fields,
)


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One event in S members, by member number.

    ``low``, ``high``: after ``low``, at or before ``high`` (steps): equal where a midpoint was estimated,
    two records where that is all that is known, ``high`` infinite where it had not happened by ``low``.
    ``shown_low``, ``shown_high``: the interval of the estimate. ``record_interval``: steps between records
    about the event. ``followed``: the last record; ``diverged``: where the member diverged, else NaN.
    ``is_known``: False where the records do not tell whether it happened.
    """

    name: str
    column: str
    members: tuple[int, ...]
    low: Float[np.ndarray, "S"]
    high: Float[np.ndarray, "S"]
    shown_low: Float[np.ndarray, "S"]
    shown_high: Float[np.ndarray, "S"]
    record_interval: Float[np.ndarray, "S"]
    followed: Float[np.ndarray, "S"]
    diverged: Float[np.ndarray, "S"]
    is_known: Bool[np.ndarray, "S"]

    @property
    def happened(self) -> Bool[np.ndarray, "S"]:
        return np.asarray(np.isfinite(self.high))

    @property
    def step(self) -> Float[np.ndarray, "S"]:
        """The estimate, or the middle of what is known; NaN where it had not happened."""
        return np.where(self.happened, (self.low + self.high) / 2, np.nan)

    @property
    def intervals(self) -> Float[np.ndarray, "S 2"]:
        return np.stack([self.low, self.high], axis=1)


def timed(run: RunLike, name: str) -> Timed:
    """The event of this name, or the clearest transition of the column of this name, in every member.

    Raises:
        UserError: neither an event nor a column.
    """
    stored = run.events.filter(pl.col("name") == name) if len(run.events) else run.events
    if not len(stored):
        known = [*event_names(run), *measured_columns(run)]
        if name not in known:
            raise UserError(f"{run.name} has no event and no column {name}{did_you_mean(name, known)}")
        rows = found_in(run, name, kind_of(run, name))
    else:
        rows = stored.to_dicts()
    return as_timed(run, name, rows)


def event_names(run: RunLike) -> list[str]:
    """The events that a run has, in their order."""
    return list(dict.fromkeys(run.events["name"])) if len(run.events) else []


def usual_event(run: RunLike) -> str:
    """The event that a figure shows by itself.

    Raises:
        UserError: there is no event; a column must be named.
    """
    names = event_names(run)
    for name in ("generalisation", *names):
        if name in names:
            return name
    raise UserError(f"{run.name} has no event; name a column: event=val_accuracy")


def as_timed(run: RunLike, name: str, rows: Sequence[Mapping[str, Any]]) -> Timed:
    """Rows of the events table as times of every member that has a row."""
    outcomes = {row["member"]: row for row in run.members.iter_rows(named=True)}
    columns: dict[str, list[float]] = {
        key: []
        for key in ("low", "high", "shown_low", "shown_high", "interval", "followed", "diverged", "known")
    }
    members = []
    column = str(rows[0]["probe"]) if rows else name
    for row in rows:
        member = row["member"]
        own = run.metrics.filter((pl.col("member") == member) & pl.col(column).is_not_null())
        steps = own["step"].cast(pl.Float64).to_numpy()
        if not len(steps):
            continue
        last = float(steps[-1])
        low, high, known = bounds(row, last, float(steps[0]))
        at = (low + high) / 2 if math.isfinite(high) else last
        members.append(member)
        outcome = outcomes[member]
        end = outcome["outcome_step"] if outcome["outcome"] == "diverged" else None
        shown = [row["low"], row["high"]] if math.isfinite(high) else [low, math.inf]
        columns["low"].append(low)
        columns["high"].append(high)
        columns["shown_low"].append(low if shown[0] is None else float(shown[0]))
        columns["shown_high"].append(high if shown[1] is None else float(shown[1]))
        columns["interval"].append(interval_at(steps, at))
        columns["followed"].append(max(last, float(end)) if end is not None else last)
        columns["diverged"].append(math.nan if end is None else float(end))
        columns["known"].append(float(known))
    arrays = {key: np.asarray(values, dtype=np.float64) for key, values in columns.items()}
    return Timed(
        name=name,
        column=column,
        members=tuple(members),
        low=arrays["low"],
        high=arrays["high"],
        shown_low=arrays["shown_low"],
        shown_high=arrays["shown_high"],
        record_interval=arrays["interval"],
        followed=arrays["followed"],
        diverged=arrays["diverged"],
        is_known=arrays["known"] > 0,
    )


def bounds(row: Mapping[str, Any], last: float, first: float) -> tuple[float, float, bool]:
    """What is known of the time, and whether anything is: too few records tell nothing."""
    step, low, high = row["step"], row["low"], row["high"]
    if row["censored"] == "right" or step is None:
        known = last if low is None else float(low)
        return known, math.inf, known > first
    if row["censored"] in ("interval", "left") and low is not None and high is not None:
        return float(low), float(high), True
    return float(step), float(step), True


def interval_at(steps: Float[np.ndarray, "T"], at: float) -> float:
    """Steps between the records before and after a time."""
    if len(steps) < 2:
        return 0.0
    after = int(np.clip(np.searchsorted(steps, at, side="left"), 1, len(steps) - 1))
    return float(steps[after] - steps[after - 1])


def common(a: Timed, b: Timed) -> tuple[Timed, Timed, int]:
    """The members in which both are known, in one order, and how many are left out."""
    known_b = {m for m, known in zip(b.members, b.is_known, strict=True) if known}
    kept = [m for m, known in zip(a.members, a.is_known, strict=True) if known and m in known_b]
    total = len(set(a.members) | set(b.members))
    return only(a, kept), only(b, kept), total - len(kept)


def only(times: Timed, members: Sequence[int]) -> Timed:
    """Some of the members, in the order given."""
    place = {member: i for i, member in enumerate(times.members)}
    rows = np.array([place[m] for m in members], dtype=int)
    arrays = {
        name: getattr(times, name)[rows]
        for name in (
            "low",
            "high",
            "shown_low",
            "shown_high",
            "record_interval",
            "followed",
            "diverged",
            "is_known",
        )
    }
    return Timed(name=times.name, column=times.column, members=tuple(members), **arrays)


def arm_fields(run: RunLike, given: Sequence[str] = ()) -> list[str]:
    """Fields in which unlike members differ; seeds are replicates.

    Raises:
        UserError: a given one does not vary.
    """
    fields = varied_fields(run)
    for name in given:
        if name not in fields:
            known = f"its members differ in {', '.join(fields)}" if fields else "it has one member"
            raise UserError(f"{name} does not vary in {run.name}: {known}")
    return list(given) or [f for f in fields if not is_replicate(f) and run.members[f].n_unique() > 1]


def arm_labels(run: RunLike, members: Sequence[int], fields: Sequence[str]) -> list[str]:
    """The arm of each member: the value of one field, or several in words; empty where all are alike."""
    rows = {row["member"]: row for row in run.members.iter_rows(named=True)}
    if len(fields) == 1:
        return [as_text(rows[m][fields[0]]) for m in members]
    return [setting_words(rows[m], fields) for m in members]


def arm_title(fields: Sequence[str]) -> str:
    """What a legend of arms is called."""
    return fields[0] if len(fields) == 1 else ""


def replicate_label(run: RunLike, member: int, arms: Sequence[str]) -> str:
    """What tells a member from the others of its arm; all of it where nothing does."""
    row = run.members.filter(pl.col("member") == member).row(0, named=True)
    own = [f for f in varied_fields(run) if is_replicate(f) and f not in arms]
    kept = [f for f in own if f != "log"] or own
    return setting_words(row, kept) or label_of(run, member)
