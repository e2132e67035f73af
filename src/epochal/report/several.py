"""Several runs as one population, so that every figure of a run is a figure of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.fields import is_identity
from epochal.experiments import catalog
from epochal.report.reading import FIXED, RunLike, as_text, is_replicate, varied_fields
from epochal.store.many import differing_fields, is_scalar
from epochal.store.split_sizes import BY_MEMBER, split_sizes

MAX_TELLING = 2
"""Fields that may tell runs apart; where more differ, their names do."""


@dataclass(frozen=True, kw_only=True)
class Together:
    """What figures read, of several runs; members are numbered through."""

    path: Path
    name: str
    metrics: pl.DataFrame
    members: pl.DataFrame
    events: pl.DataFrame
    spec: Mapping[str, Any]
    environment: Mapping[str, Any]
    schema: Mapping[str, Any]
    is_done: bool
    parts: tuple[tuple[RunLike, int], ...] = ()
    """The runs, each with the number of its first member."""


def parts_of(run: RunLike) -> tuple[tuple[RunLike, int], ...]:
    """The runs that a population is made of, each with the number of its first member: what lies in their
    directories is found there."""
    return run.parts if isinstance(run, Together) and run.parts else ((run, 0),)


def together(runs: Sequence[RunLike]) -> RunLike:
    """One run as it is; several as one whose members differ in what any of them varies or the runs differ in.

    A field that is varied in one run and fixed in another has its value in both, as in ``load_many``. Runs of
    different experiments, equal runs, and runs that differ in more than ``MAX_TELLING`` fields are told
    apart by a column ``run`` with what is particular about their names.
    """
    if len(runs) == 1:
        return runs[0]
    starts = [sum(len(run.members) for run in runs[:i]) for i in range(len(runs))]
    fields, by_name = _telling(runs)
    names = _short_names([run.name for run in runs]) if by_name else [""] * len(runs)
    rows = [
        row
        for run, start, name in zip(runs, starts, names, strict=True)
        for row in _members(run, start, fields, name if by_name else None)
    ]
    return Together(
        path=runs[0].path,
        name=", ".join(run.name for run in runs[:3])
        + (f" and {len(runs) - 3} more" if len(runs) > 3 else ""),
        metrics=_stacked([run.metrics for run in runs], starts),
        members=_table(rows),
        events=_stacked([run.events for run in runs], starts),
        spec=runs[0].spec,
        environment={BY_MEMBER: _sizes(runs, starts)},
        schema={column: about for run in reversed(runs) for column, about in run.schema.items()},
        is_done=all(run.is_done for run in runs),
        parts=tuple(zip(runs, starts, strict=True)),
    )


def _telling(runs: Sequence[RunLike]) -> tuple[list[str], bool]:
    """The fields that are columns of the members, in order, and whether runs are told apart by name."""
    varied = list(dict.fromkeys(field for run in runs for field in varied_fields(run)))
    differing = differing_fields([run.spec for run in runs])
    between = [f for f in _shaping_fields(runs) if f in differing and f not in varied]
    telling = [f for f in between if not is_replicate(f)]
    is_mixed = len({run.spec.get("experiment") for run in runs}) > 1
    own = [f for f in varied if not is_replicate(f) and _tells(runs, f)]
    by_name = is_mixed or len(telling) > MAX_TELLING or not (telling or own)
    return (varied if by_name else [*between, *varied]), by_name


def _tells(runs: Sequence[RunLike], field: str) -> bool:
    """Whether no two runs have a value of a varied field in common."""
    values = [{as_text(row[field]) for row in _members(run, 0, [field], None)} for run in runs]
    return sum(map(len, values)) == len(set().union(*values))


def _shaping_fields(runs: Sequence[RunLike]) -> list[str]:
    """The fields of the runs that shape training; all of them where the experiment is not known here."""
    found: dict[str, None] = {}
    for run in runs:
        fields = list(run.spec.get("fields", {}))
        try:
            known = catalog.find(str(run.spec.get("experiment"))).spec_class.model_fields
        except UserError:
            known = {}
        found.update(dict.fromkeys(f for f in fields if f not in known or is_identity(known[f])))
    return list(found)


def _members(run: RunLike, start: int, fields: Sequence[str], name: str | None) -> list[dict[str, Any]]:
    fixed = {f: v for f, v in run.spec.get("fields", {}).items() if is_scalar(v) or isinstance(v, list)}
    rows = []
    for row in run.members.iter_rows(named=True):
        own = {f: row.get(f, fixed.get(f)) for f in fields}
        ends = {column: row.get(column) for column in FIXED}
        rows.append(
            {**ends, "member": row["member"] + start, **own, **({} if name is None else {"run": name})}
        )
    return rows


def _table(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a frame; a field that is a number in one run and text in another becomes text."""
    columns = []
    for column in rows[0]:
        values = [row[column] for row in rows]
        kinds = {type(value) for value in values if value is not None}
        if not kinds <= {int, float} and len(kinds) > 1:
            values = [as_text(value) for value in values]
        columns.append(pl.Series(column, values, strict=False))
    return pl.DataFrame(columns)


def _stacked(frames: Sequence[pl.DataFrame], starts: Sequence[int]) -> pl.DataFrame:
    moved = [
        frame.with_columns(pl.col("member").cast(pl.Int64) + start)
        for frame, start in zip(frames, starts, strict=True)
        if len(frame)
    ]
    return pl.concat(moved, how="diagonal_relaxed") if moved else frames[0]


def _sizes(runs: Sequence[RunLike], starts: Sequence[int]) -> dict[int, Mapping[str, int]]:
    return {
        member + start: sizes
        for run, start in zip(runs, starts, strict=True)
        for member, sizes in split_sizes(run.spec, run.environment, run.members["member"]).items()
    }


def _short_names(names: Sequence[str]) -> list[str]:
    """Names without the words that all of them begin with; the same name twice is numbered."""
    split = [name.split("-") for name in names]
    num_common = 0
    while len({tuple(words[: num_common + 1]) for words in split}) == 1 and num_common < len(split[0]) - 1:
        num_common += 1
    short = ["-".join(words[num_common:]) for words in split]
    return short if len(set(short)) == len(short) else [f"{name} ({i + 1})" for i, name in enumerate(short)]
