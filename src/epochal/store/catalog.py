"""The runs of a folder: which there are, and which one a few characters mean."""

import difflib
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from epochal.core.values.errors import UserError
from epochal.store.documents import read_json, read_parquet, read_spec
from epochal.store.filter import Filter
from epochal.store.lock import is_held
from epochal.store.paths import RunPaths
from epochal.store.states import all_state_steps

LIST_SCHEMA: dict[str, pl.DataType] = {
    "name": pl.String(),
    "experiment": pl.String(),
    "preset": pl.String(),
    "members": pl.Int64(),
    "outcome": pl.String(),
    "max_steps": pl.Int64(),
    "created": pl.Datetime("us", "UTC"),
    "size_bytes": pl.Int64(),
}


def list_runs(runs: Path, wanted: Filter | None = None) -> pl.DataFrame:
    """One row of `LIST_SCHEMA` per (wanted) run in the folder ``runs``, newest last; reads no metrics.

    ``outcome`` counts the members of a finished run ("3 finished, 2 diverged"), else it is "running" or
    "interrupted at step 1200", the step of the resume state that is furthest behind. A run that cannot be
    read is listed with the reason as its outcome, unless fields are asked for.

    Raises:
        UserError: no run has a field that is asked for.
    """
    wanted = wanted or Filter()
    found = {path: _spec(path) for path in run_paths(runs) if wanted.fits_name(path.name)}
    if wanted.fields and found:
        specs = {path: spec for path, spec in found.items() if not isinstance(spec, UserError)}
        wanted.check_fields(specs.values())
        found = {path: spec for path, spec in specs.items() if wanted.fits_spec(spec)}
    outcomes = _outcomes(list(found))
    rows = (_row(path, spec, outcomes.get(path), wanted) for path, spec in found.items())
    table = pl.DataFrame([row for row in rows if row], schema=LIST_SCHEMA, orient="row")
    return table.sort("created", "name", nulls_last=False)


def run_paths(runs: Path) -> list[Path]:
    """The run directories in the folder ``runs``, by name; none if it does not exist."""
    if not runs.is_dir():
        return []
    names = sorted(entry.name for entry in os.scandir(runs) if not entry.name.startswith("."))
    return [runs / name for name in names if (runs / name / "spec.json").exists()]


def find_run(text: str | Path, runs: Path) -> Path:
    """The run that ``text`` means: a path, a name in ``runs``, its 8-digit hash, or any unique part of it.

    Raises:
        UserError: no run or several fit; the nearest few are listed.
    """
    if (Path(text) / "spec.json").exists():
        return Path(text)
    text = str(text).rstrip("/")
    names = [path.name for path in run_paths(runs)]
    for fits in (
        [name for name in names if name == text],
        [name for name in names if name.rpartition("-")[2] == text],
        [name for name in names if text and text in name],
    ):
        if len(fits) == 1:
            return runs / fits[0]
        if fits:
            more = f" and {len(fits) - 5} more" if len(fits) > 5 else ""
            raise UserError(
                f"{text!r} fits {len(fits)} runs: {', '.join(fits[:5])}{more}; give more of the name"
            )
    if not names:
        raise UserError(f"no run {text!r}: there are no runs in {runs}")
    nearest = difflib.get_close_matches(text, names, n=3, cutoff=0.0)
    raise UserError(f"no run {text!r} in {runs}; nearest: {', '.join(nearest)} (`epochal ls` lists all)")


def standing(path: Path) -> str:
    """How a run stands: "running", "interrupted at step 1200", or how many members ended how."""
    return _summary(path, read_parquet(RunPaths(path).members, columns=["outcome"])["outcome"].to_list())


def _outcomes(paths: list[Path]) -> dict[Path, list[str]]:
    """The outcomes of all members of all runs in one scan, a tenth of the time of one read per run."""
    files = [str(file) for file in (RunPaths(path).members for path in paths) if file.exists()]
    if not files:
        return {}
    scan = pl.scan_parquet(
        files,
        schema={"outcome": pl.String()},
        extra_columns="ignore",
        include_file_paths="file",
        glob=False,
    )
    try:
        table = scan.group_by("file", maintain_order=True).agg("outcome").collect()
    except pl.exceptions.PolarsError:
        return {}  # one of them is damaged: `_row` then reads each by itself and says which
    return {Path(file).parent: outcomes for file, outcomes in table.iter_rows()}


def _spec(path: Path) -> dict[str, Any] | UserError:
    try:
        return read_spec(path)
    except UserError as error:
        return error


def _row(
    path: Path, spec: dict[str, Any] | UserError, outcomes: list[str] | None, wanted: Filter
) -> tuple[Any, ...] | None:
    """A row of `LIST_SCHEMA`; None where the outcome is not wanted."""
    try:
        if isinstance(spec, UserError):
            raise spec
        if outcomes is None:
            outcomes = read_parquet(RunPaths(path).members, columns=["outcome"])["outcome"].to_list()
        outcome, created = _summary(path, outcomes), _created(path)
    except UserError as error:
        outcome = f"unreadable: {error}"
        about = (None, None, None, outcome, None, None)
        return (path.name, *about, _size_bytes(path)) if wanted.fits_outcome(outcome) else None
    if not wanted.fits_outcome(outcome):
        return None
    about_run = (spec.get("experiment"), spec.get("preset"), len(outcomes), outcome, spec.get("max_steps"))
    return (path.name, *about_run, created, _size_bytes(path))


def _summary(path: Path, outcomes: list[str]) -> str:
    paths = RunPaths(path)
    if paths.done.exists():
        return ", ".join(
            f"{num} {outcome.replace('_', ' ')}" for outcome, num in Counter(outcomes).most_common()
        )
    if is_held(paths.lock):
        return "running"
    last = dict(sorted(all_state_steps(paths.resume)))  # the later step of a pack overwrites the earlier
    return f"interrupted at step {min(last.values(), default=0)}"


def _created(path: Path) -> datetime:
    try:
        started = datetime.fromisoformat(read_json(path / "environment.json")["started_utc"])
    except (KeyError, TypeError, ValueError):  # UserError is one: then when the spec was written
        return datetime.fromtimestamp((path / "spec.json").stat().st_mtime, UTC)
    return started.replace(tzinfo=UTC) if started.tzinfo is None else started.astimezone(UTC)


def _size_bytes(folder: Path | str) -> int:
    """Apparent size of all files below ``folder``; what vanishes meanwhile counts as nothing."""
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    total += _size_bytes(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return total
    return total
