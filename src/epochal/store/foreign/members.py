"""The members of a population of logs: their fields, names, and how they ended."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from epochal.core.values.identity import digest
from epochal.store.foreign import names
from epochal.store.foreign.arms import NOT_SHAPING, Arms
from epochal.store.foreign.columns import Reading
from epochal.store.foreign.log import Value

LOG = "log"
"""Column of the members that names a file or run which has no number; a replicate, like a seed."""


def member_order(members: pl.DataFrame, numbered: Sequence[str]) -> list[int]:
    """Logs as they were given, runs by number, then by name."""
    place = {label: i for i, label in enumerate(numbered)}

    def key(row: tuple[int, dict[str, Any]]) -> tuple[Any, ...]:
        run = str(row[1]["_run"])
        number = _number(run)
        return (
            place[row[1]["_log"]],
            *(str(v) for k, v in row[1].items() if k[0] != "_"),
            number is None,
            number or 0.0,
            run,
        )

    return [i for i, _ in sorted(enumerate(members.iter_rows(named=True)), key=key)]


def members_table(
    members: pl.DataFrame, arms: Arms, by_log: Mapping[str, Mapping[str, Value]], run_name: str | None
) -> pl.DataFrame:
    """``member``, ``member_id``, the arms, fields that differ between logs, the seed or the log's name."""
    rows = []
    differing = [
        name
        for name in dict.fromkeys(name for fields in by_log.values() for name in fields)
        if len({repr(fields.get(name)) for fields in by_log.values()}) > 1
    ]
    shaping = [n for n in differing if names.is_replicate_name(n) or not NOT_SHAPING.search(n)]
    several_logs = members["_log"].n_unique() > 1
    several_runs = members["_run"].n_unique() > 1
    told = {repr([by_log[log].get(name) for name in shaping]) for log in by_log}
    is_told = len(told) == len(by_log) and any(names.is_replicate_name(name) for name in shaping)
    for row in members.iter_rows(named=True):
        fields = by_log[row["_log"]]
        own: dict[str, Any] = {name: row[name] for name in arms.columns}
        own |= {name: fields.get(name) for name in shaping}
        run: Any = row["_run"]
        if several_runs or (run and not several_logs):
            number = _number(str(run))
            run = int(number) if number is not None and number == int(number) else run
            own[
                run_name
                if run_name and names.is_replicate_name(run_name)
                else LOG
                if not several_logs
                else "run_seed"
            ] = run
        if (
            several_logs
            and not is_told
            and not any(names.is_replicate_name(name) and _tells(by_log, name) for name in shaping)
        ):
            own[LOG] = row["_log"]
        identity = {"log": row["_log"], "run": str(row["_run"]), **{k: str(v) for k, v in own.items()}}
        rows.append({"member": row["member"], "member_id": digest(identity), **own})
    return pl.DataFrame([pl.Series(name, [row.get(name) for row in rows], strict=False) for name in rows[0]])


def _tells(by_log: Mapping[str, Mapping[str, Value]], name: str) -> bool:
    return len({repr(fields.get(name)) for fields in by_log.values()}) == len(by_log)


def arm_fields(table: pl.DataFrame, arms: Arms, reading: Reading) -> tuple[str, ...]:
    """Fields of the members in which unlike runs differ."""
    if reading.arms:
        return tuple(name for name in reading.arms if name in table.columns)
    return tuple(
        name
        for name in table.columns
        if name not in ("member", "member_id", LOG) and not names.is_replicate_name(name)
    )


def with_outcomes(table: pl.DataFrame, metrics: pl.DataFrame, wanted: Sequence[str]) -> pl.DataFrame:
    """``diverged`` where a curve ends in values that are not finite, else ``finished``."""
    outcomes: list[tuple[str, int, str | None]] = []
    for member in table["member"]:
        own = metrics.filter(pl.col("member") == member)
        end, steps = None, own["step"].to_list()
        for name in (n for n in wanted if n in own.columns):
            measured = [(s, v) for s, v in zip(steps, own[name].to_list(), strict=True) if v is not None]
            finite = [i for i, (_, v) in enumerate(measured) if math.isfinite(v)]
            first_bad = (finite[-1] + 1) if finite else 0
            if measured and first_bad < len(measured):
                end = min(measured[first_bad][0], end if end is not None else math.inf)
        if end is None:
            outcomes.append(("finished", int(steps[-1]), None))
        else:
            outcomes.append(("diverged", int(end), "values that are not finite to the end"))
    return table.with_columns(
        pl.Series("outcome", [o[0] for o in outcomes]),
        pl.Series("outcome_step", [o[1] for o in outcomes], pl.Int64),
        pl.Series("outcome_reason", [o[2] for o in outcomes], pl.String),
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
