"""Many runs as one table."""

import glob
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from epochal.core.values.errors import UserError
from epochal.store.catalog import run_paths
from epochal.store.documents import read_json, read_parquet, read_spec
from epochal.store.paths import RunPaths
from epochal.store.run import load

FILE = "metrics_file"
"""A column of the joins; no field and no measure is called so."""


def load_many(pattern: str | Path | Iterable[str | Path]) -> pl.LazyFrame:
    """The metrics of many runs, each row with its ``run`` (name) and its member's fields and outcome.

    ``pattern`` is a glob of run directories, a folder of runs, or several of either. A field that is varied
    in one run and fixed in another has its value in both, and so has a field in which two runs differ. A
    column that a run does not have is null there. Finished runs are read lazily: select the columns you need.
    A metric with the name of a field keeps its name; the field is then ``<name>_member``.

    Raises:
        UserError: no run fits, or one cannot be read.
    """
    patterns = [pattern] if isinstance(pattern, str | Path) else list(pattern)
    paths = list(dict.fromkeys(path for one in patterns for path in _expand(str(one))))
    if not paths:
        raise UserError(f"no run fits {', '.join(map(str, patterns))}; `epochal ls` lists the runs")
    specs = {path: read_spec(path) for path in paths}
    joined = _metrics(paths).join(
        _members(specs).lazy(), on=[FILE, "member"], how="left", suffix="_member", maintain_order="left"
    )
    return joined.select("run", pl.exclude("run", FILE))


def _expand(pattern: str) -> list[Path]:
    found = [Path(text) for text in sorted(glob.glob(pattern))]
    return [run for path in found for run in ([path] if (path / "spec.json").exists() else run_paths(path))]


def _metrics(paths: Sequence[Path]) -> pl.LazyFrame:
    """All metrics with the file they are from. Files of equal columns are one scan: a thousand scans cost
    seconds."""
    groups: dict[str, list[Path]] = {}
    frames = []
    for path in paths:
        if RunPaths(path).done.exists() and RunPaths(path).metrics.exists():
            columns = {
                name: about["dtype"] for name, about in read_json(RunPaths(path).schema)["columns"].items()
            }
            groups.setdefault(repr(columns), []).append(RunPaths(path).metrics)
        else:
            frames.append(load(path).metrics.lazy().with_columns(pl.lit(_file(path)).alias(FILE)))
    scans = [pl.scan_parquet(files, include_file_paths=FILE, glob=False) for files in groups.values()]
    return pl.concat([*scans, *frames], how="diagonal_relaxed")


def _members(specs: Mapping[Path, Mapping[str, Any]]) -> pl.DataFrame:
    """The members of all runs: their file of metrics, the run's name, their fields and outcome."""
    shared = sorted(differing_fields(list(specs.values())))
    fixed = [
        {FILE: _file(path), "run": path.resolve().name}
        | {name: value for name in shared if is_scalar(value := spec.get("fields", {}).get(name))}
        for path, spec in specs.items()
    ]
    runs = pl.DataFrame(
        [pl.Series(name, [row.get(name) for row in fixed], strict=False) for name in (FILE, "run", *shared)]
    )
    groups: dict[tuple[str, ...], list[Path]] = {}
    for path, spec in specs.items():
        groups.setdefault(tuple(spec.get("varied", ())), []).append(path)
    frames = []
    for group in groups.values():
        members = _read_members(group)
        own = [name for name in shared if name in members.columns]
        frames.append(members.join(runs.drop(own), on=FILE, how="left", maintain_order="left"))
    return pl.concat(frames, how="diagonal_relaxed")


def _read_members(paths: Sequence[Path]) -> pl.DataFrame:
    """Tables with the same columns in one scan; one by one where they differ in a dtype or one is damaged."""
    files = {str(RunPaths(path).members): _file(path) for path in paths}
    try:
        scan = pl.scan_parquet(list(files), include_file_paths=FILE, glob=False)
        return scan.with_columns(pl.col(FILE).replace_strict(files, return_dtype=pl.String)).collect()
    except (pl.exceptions.PolarsError, FileNotFoundError):
        tables = [
            read_parquet(RunPaths(path).members).with_columns(pl.lit(_file(path)).alias(FILE))
            for path in paths
        ]
        return pl.concat(tables, how="diagonal_relaxed")


def _file(path: Path) -> str:
    """What the rows of a run are joined by: where its metrics lie, or will."""
    return str(RunPaths(path).metrics)


def differing_fields(specs: Sequence[Mapping[str, Any]]) -> set[str]:
    """Fields that are varied in some run, or whose fixed values differ between runs; from their specs."""
    differing: set[str] = set()
    values: dict[str, set[str]] = {}
    for spec in specs:
        differing |= set(spec.get("varied", []))
        for name, value in spec.get("fields", {}).items():
            if is_scalar(value):
                values.setdefault(name, set()).add(repr(value))
    return differing | {name for name, seen in values.items() if len(seen) > 1}


def is_scalar(value: Any) -> bool:
    """Whether a field's value is one that a column can hold."""
    return value is None or isinstance(value, str | bool | int | float)
