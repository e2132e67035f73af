"""Columns that were recorded in training, or measured on snapshots afterwards; arrays too."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from epochal.core.values.errors import UserError
from epochal.report.reading import RunLike
from epochal.report.several import parts_of
from epochal.store.documents import read_json, read_parquet
from epochal.store.paths import RunPaths

MAX_STEPS = 8
"""That one figure of a member shows."""


def has_columns(run: RunLike, columns: Sequence[str]) -> bool:
    """Whether all of them are there, in the records or in one table of a probe."""
    return set(columns) <= set(run.metrics.columns) or any(
        files_with(part, columns) for part, _ in parts_of(run)
    )


def rows_of(
    run: RunLike,
    member: int,
    steps: Sequence[str],
    columns: Sequence[str],
    probe: str,
    *,
    table: str = "",
    what: str,
) -> dict[int, dict[str, Any]]:
    """A member's columns by step, at chosen steps; ``what`` is what messages call them.

    Raises:
        UserError: as of `rows_with` and `chosen_steps`, or there are none of that member.
    """
    rows = rows_with(run, columns, probe, table)
    own = rows.filter(pl.col("member") == member)
    if not len(own):
        there = rows["member"].unique(maintain_order=True).to_list()
        known = ", ".join(map(str, there[:20]))
        raise UserError(
            f"{run.name} has no {what} of member {member}, only of {known}; measure it by "
            f"epochal probe {run.name} {probe} --members {member}"
        )
    return {
        step: own.filter(pl.col("step") == step).row(0, named=True)
        for step in chosen_steps(steps, own["step"].to_list())
    }


def chosen_steps(wanted: Sequence[str], there: Sequence[int]) -> list[int]:
    """Steps by their numbers, ``first`` and ``last``, each once, in the order given.

    Raises:
        UserError: none or too many, or one that was not measured; the nearest are named.
    """
    if not 0 < len(wanted) <= MAX_STEPS:
        raise UserError(f"steps= names {len(wanted)} steps; give 1 to {MAX_STEPS}, such as steps=first,last")
    found = []
    for word in wanted:
        step = {"first": there[0], "last": there[-1]}.get(word)
        if step is None:
            step = int(word) if word.isascii() and word.isdigit() and len(word) < 16 else -1
        if step not in there:
            near = sorted(sorted(there, key=lambda s: abs(s - max(step, 0)))[:4])
            known = ", ".join(map(str, near))
            raise UserError(f"steps={word} was not measured; take first, last, or a step such as {known}")
        found.append(step)
    return list(dict.fromkeys(found))


def rows_with(run: RunLike, columns: Sequence[str], probe: str, table: str = "") -> pl.DataFrame:
    """``member``, ``step`` and these columns, by member and step; what was recorded comes before tables.

    Several tables of one probe (other options) are told apart by ``table``, a part of a file's name.

    Raises:
        UserError: nowhere, with the command that measures it; or in several tables.
    """
    wanted = ["member", "step", *columns]
    if not table and set(columns) <= set(run.metrics.columns):
        frame = run.metrics.select(wanted).drop_nulls()
        if len(frame):
            return frame.sort("member", "step")
    frames = []
    for part, start in parts_of(run):
        files = [name for name in files_with(part, columns) if table in name]
        if len(files) > 1:
            raise UserError(
                f"{part.name} has {columns[0]} in {len(files)} tables; choose one with table=: "
                f"{', '.join(files)}"
            )
        for name in files:
            found = read_parquet(RunPaths(part.path).probes / name).select(wanted).drop_nulls()
            frames.append(found.with_columns(pl.col("member").cast(pl.Int64) + start))
    frame = pl.concat(frames) if frames else pl.DataFrame(schema={"member": pl.Int64})
    frame = frame.filter(pl.col("member").is_in(run.members["member"].to_list()))
    if not len(frame):
        place = f"no table {table} with" if table else "no"
        raise UserError(
            f"{run.name} has {place} {columns[0]}: measure its snapshots with "
            f"`epochal probe {run.name} {probe}`"
        )
    return frame.sort("member", "step")


def files_with(run: RunLike, columns: Sequence[str]) -> list[str]:
    """Tables of probes, measured afterwards, that have all of these columns."""
    found = []
    for about in sorted(RunPaths(run.path).probes.glob("*.json")):
        file = about.with_suffix(".parquet")
        if file.exists() and set(columns) <= set(read_json(about).get("columns", {})):
            found.append(file.name)
    return found
