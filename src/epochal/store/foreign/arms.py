"""One row per run and step, and what tells unlike runs apart."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from epochal.core.values.errors import UserError
from epochal.store.foreign import names
from epochal.store.foreign.columns import Reading
from epochal.store.foreign.log import Log

NOT_SHAPING = re.compile(
    r"(^|[_.])(logdir|datadir|dir|path|name|version|project|entity|id|gpus?|devices?|num_workers|output|save\w*|"
    r"host\w*|user\w*)$",
    re.IGNORECASE,
)
MOST_ARMS = 60


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Columns of the logs that tell unlike runs apart, and whether they were guessed."""

    columns: tuple[str, ...]
    guessed: tuple[str, ...]


def arms_of(rows: pl.DataFrame, logs: Sequence[Log], reading: Reading, wanted: Sequence[str]) -> Arms:
    """As given; else columns that are constant in each run and shared by several runs, and the one column
    without which steps repeat."""
    given = tuple(name for name in reading.arms if name in rows.columns)
    if given:
        return Arms(columns=given, guessed=())
    if all(log.is_told for log in logs):
        return Arms(columns=(), guessed=())
    keys = ["_log", "_run"]
    candidates = [
        name
        for name in rows.columns
        if name not in (*keys, "step", *wanted)
        and not names.is_accuracy(name)
        and not names.CLOCKS.search(name)
        and not re.search("loss|epoch", name, re.IGNORECASE)
        and name.lower() not in names.STEPS
        and not NOT_SHAPING.search(name)
    ]
    found = []
    grouped = rows.group_by(keys)
    num_runs = rows.select(keys).n_unique()
    for name in candidates:
        distinct = grouped.agg(
            pl.col(name).drop_nulls().n_unique().alias("n"), pl.col(name).drop_nulls().first()
        )
        num = distinct[name].n_unique()
        if distinct["n"].max() == 1 and distinct["n"].min() == 1 and 1 < num < num_runs:
            found.append(name)
    if found:
        return Arms(columns=tuple(found), guessed=tuple(found))
    values = [name for name in wanted if name in rows.columns]
    repeated = rows.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in values))
    if repeated.select([*keys, "step"]).is_duplicated().any():
        for name in candidates:
            num = rows[name].drop_nulls().n_unique()
            tells = 1 < num <= MOST_ARMS and repeated[name].null_count() == 0
            if tells and not repeated.select([*keys, name, "step"]).is_duplicated().any():
                return Arms(columns=(name,), guessed=(name,))
    return Arms(columns=(), guessed=())


def merged_records(
    rows: pl.DataFrame, keys: Sequence[str], logs: Sequence[Log], reading: Reading
) -> tuple[pl.DataFrame, list[str]]:
    """One row per run and step. Two values at one step are an error, except in a log of a resumed program.

    Raises:
        UserError: steps repeat with different values, so that several runs seem to be mixed.
    """
    measures = [name for name, t in rows.schema.items() if name not in (*keys, "step") and t.is_numeric()]
    grouped = rows.group_by([*keys, "step"], maintain_order=True)
    spread = grouped.agg(
        [pl.col(name).drop_nulls().n_unique().alias(name) for name in measures] or [pl.len().alias("_rows")]
    )
    is_resumable = all(log.program in ("Lightning", "W&B") for log in logs)
    notes = []
    values = [name for name in measures if name in (reading.value, *reading.others)] or measures
    clash = (
        spread.filter(pl.any_horizontal(pl.col(name) > 1 for name in values)) if values else spread.clear()
    )
    if len(clash) and not is_resumable:
        row = clash.row(0, named=True)
        name = next(n for n in values if row[n] > 1)
        where = f"{row['_log']}" + (f", {reading.run or 'run'} {row['_run']}" if row["_run"] else "")
        how = "name the column that tells runs apart with --run" + (
            ", or those that tell arms apart with --arm" if row["_run"] else ""
        )
        raise UserError(
            f"{where} has step {row['step']:g} more than once with different {name}: several runs seem to be "
            f"mixed; {how}"
        )
    if len(clash):
        notes.append(f"{len(clash)} steps were logged again after a resume; the later values are taken")
    merged = grouped.agg(pl.col(name).drop_nulls().last() for name in measures)
    return merged.sort([*keys, "step"], maintain_order=True), notes
