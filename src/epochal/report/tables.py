"""The tables of a page in words and numbers: what each member did, and how groups of members compare."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import polars as pl

from epochal.report.reading import RunLike, grouping, member_table
from epochal.report.timeline import PRIMARY


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A number as the page shows it, ``text``, and with every digit, ``exact``; ``order`` sorts a column."""

    text: str
    exact: str = ""
    order: float = math.inf
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class MemberRow:
    """One line of the headline table."""

    label: str
    memorisation: Shown
    generalisation: Shown
    delay: Shown
    ratio: Shown
    learning: Shown
    outcome: str
    is_bad: bool


@dataclass(frozen=True, kw_only=True)
class GroupRow:
    """One line of the comparison of groups; medians count what was not reached as infinitely late."""

    label: str
    num_members: int
    num_memorised: int
    num_generalised: int
    num_diverged: int
    generalisation: Shown
    delay: Shown


def member_rows(run: RunLike) -> list[MemberRow]:
    """Every member in its order, whatever became of it."""
    first, second = (_by_member(run, name) for name in PRIMARY)
    delays, ratios, learnt, plateaus = (
        _by_member(run, name) for name in ("delay", "ratio", "learning", "plateau")
    )
    outcomes = {row["member"]: row for row in run.members.iter_rows(named=True)}
    rows = []
    for member, label in member_table(run).select("member", "label").iter_rows():
        a, b = first.get(member), second.get(member)
        outcome = outcomes[member]
        rows.append(
            MemberRow(
                label=label,
                memorisation=event_shown(a),
                generalisation=event_shown(b),
                delay=_between(a, b, "delay", delays.get(member)),
                ratio=_between(a, b, "ratio", ratios.get(member)),
                learning=learning_shown(learnt.get(member), plateaus.get(member)),
                outcome=outcome_text(outcome, is_done=run.is_done),
                is_bad=outcome["outcome"] == "diverged",
            )
        )
    return rows


def group_rows(run: RunLike) -> list[GroupRow]:
    """One row per combination of the coloured and the panel field, or one for all members."""
    groups = grouping(run)
    first, second = (_by_member(run, name) for name in PRIMARY)
    failed = unlearnt(run)
    second = {member: event for member, event in second.items() if member not in failed}
    diverged = set(run.members.filter(pl.col("outcome") == "diverged")["member"].to_list())
    cells: dict[tuple[str, str], list[int]] = {
        (c, f): [] for f in groups.facets or ("",) for c in groups.values or ("",)
    }
    for member, colour, facet in member_table(run).select("member", "colour", "facet").iter_rows():
        cells[colour, facet].append(member)
    rows = []
    for (colour, facet), members in cells.items():
        if not members:
            continue
        words = [
            f"{name} {value}" for name, value in ((groups.colour, colour), (groups.facet, facet)) if name
        ]
        steps = [_step(second.get(m)) for m in members]
        delays = [
            _step(second.get(m)) - s if math.isfinite(s := _step(first.get(m))) else math.inf for m in members
        ]
        rows.append(
            GroupRow(
                label=" · ".join(words) or "all members",
                num_members=len(members),
                num_memorised=sum(_has_happened(first.get(m)) for m in members),
                num_generalised=sum(_has_happened(second.get(m)) for m in members),
                num_diverged=len(diverged & set(members)),
                generalisation=_median(steps),
                delay=_median(delays),
            )
        )
    return rows


def unlearnt(run: RunLike) -> dict[int, str]:
    """Members that did not generalise, with what became of their learning.

    A rise of validation that ends far from learnt has an event, and is no generalisation.
    """
    rows = run.events.filter(pl.col("name") == "learning") if len(run.events) else run.events
    outcomes = {row["member"]: str(row["reason"]).partition(":")[0] for row in rows.iter_rows(named=True)}
    return {
        m: what for m, what in outcomes.items() if what in ("memorised only", "learnt nothing", "diverged")
    }


def event_shown(event: Mapping[str, Any] | None) -> Shown:
    """An event in words: its step and interval, or what is known instead."""
    if event is None:
        return Shown(text="not looked for")
    step, low, high, censored = (event[k] for k in ("step", "low", "high", "censored"))
    reason = str(event["reason"] or "")
    if censored == "right":
        text = f"not by {steps_text(low)}" if low else "not seen"
        return Shown(text=text, exact=_exact(low), note=reason)
    if censored == "left":
        text = f"by {steps_text(high)}, the first record"
        return Shown(text=text, exact=_exact(high), order=0.0, note=reason)
    if step is None:
        return Shown(text="not found", note=reason)
    if censored == "interval":
        text = f"between {steps_text(low)} and {steps_text(high)}"
        return Shown(text=text, exact=_exact(step), order=step, note=reason)
    is_known = low is not None and high is not None
    interval = f" [{steps_text(low)}, {steps_text(high)}]" if is_known else ""
    doubt = "" if event["found"] else " (no evidence)"
    return Shown(text=f"{steps_text(step)}{interval}{doubt}", exact=_exact(step), order=step, note=reason)


def learning_shown(event: Mapping[str, Any] | None, plateau: Mapping[str, Any] | None) -> Shown:
    """What became of learning; why, and the level it waited at, as a note."""
    if event is None:
        return Shown(text="–")
    outcome, _, why = str(event["reason"]).partition(": ")
    if plateau is not None and plateau["height"] is not None:
        why += (
            f"; validation between at {number(plateau['height'])} "
            f"[{number(plateau['low'])}, {number(plateau['high'])}]"
        )
    return Shown(text=outcome, note=why)


def outcome_text(row: Mapping[str, Any], *, is_done: bool) -> str:
    """How a member's training ended, without hiding that it did not."""
    step = "" if row["outcome_step"] is None else f" at step {steps_text(row['outcome_step'])}"
    reason = f": {row['outcome_reason']}" if row["outcome_reason"] else ""
    words = {"finished": "finished", "stopped_early": "stopped early", "diverged": "diverged"}
    if row["outcome"] in words:
        return f"{words[row['outcome']]}{step}{reason}"
    return f"running{step}{reason}" if not is_done else f"unfinished{step}{reason}"


def steps_text(value: float | None) -> str:
    """A step for a reader: a whole number, as steps are; the estimate's further digits say nothing."""
    return number(value) if value is None or not math.isfinite(value) else number(float(round(value)))


def number(value: float | None) -> str:
    """Counts and measures for a reader: 12,345 and 0.1234; four digits below 1000."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e12 else f"{value:.3e}"
    return f"{value:.4g}"


def _between(
    a: Mapping[str, Any] | None,
    b: Mapping[str, Any] | None,
    kind: str,
    estimate: Mapping[str, Any] | None,
) -> Shown:
    """Delay or ratio from memorisation to generalisation; a lower limit where the latter was not reached.

    ``estimate`` is the row of the run that holds it with its interval; runs before there was one have none.
    """
    start = _step(a)
    if a is None or b is None or not math.isfinite(start) or (kind == "ratio" and start <= 0):
        return Shown(text="–")
    limit = b["censored"] == "right"
    end = b["low"] if limit else b["step"]
    if end is None or b["censored"] == "left":
        return Shown(text="–")
    value = end - start if kind == "delay" else end / start
    text = steps_text(value) if kind == "delay" else f"{value:.3g}"
    if not limit and estimate is not None and estimate["low"] is not None and estimate["high"] is not None:
        low, high = (
            steps_text(x) if kind == "delay" else f"{x:.3g}" for x in (estimate["low"], estimate["high"])
        )
        text += f" [{low}, {high}]"
    return Shown(text=f"> {text}" if limit else text, exact=_exact(value), order=math.inf if limit else value)


def _median(steps: Sequence[float]) -> Shown:
    """The median with inf for what was not reached; in words where that is the median."""
    value = median(steps)
    if not math.isfinite(value):
        return Shown(text="not reached by half")
    return Shown(text=steps_text(value), exact=_exact(value), order=value)


def _has_happened(event: Mapping[str, Any] | None) -> bool:
    return event is not None and bool(event["found"]) and event["censored"] != "right"


def _step(event: Mapping[str, Any] | None) -> float:
    """The step of an event that happened; inf otherwise."""
    return (
        float(event["step"])
        if event is not None and _has_happened(event) and event["step"] is not None
        else math.inf
    )


def _by_member(run: RunLike, name: str) -> dict[int, Mapping[str, Any]]:
    if not len(run.events):
        return {}
    return {row["member"]: row for row in run.events.filter(pl.col("name") == name).iter_rows(named=True)}


def _exact(value: float | None) -> str:
    return "" if value is None else repr(value)
