"""Many runs as one table."""

import glob
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from epochal.core.values.errors import UserError
from epochal.store.catalog import run_paths
from epochal.store.run import Run, load


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
    runs = [load(path) for path in paths]
    shared = _shared_fields(runs)
    members = pl.concat([_members(run, shared) for run in runs], how="diagonal_relaxed")
    metrics = pl.concat([_metrics(run) for run in runs], how="diagonal_relaxed")
    joined = metrics.join(
        members.lazy(), on=["run", "member"], how="left", suffix="_member", maintain_order="left"
    )
    return joined.select("run", pl.exclude("run"))


def _expand(pattern: str) -> list[Path]:
    found = [Path(text) for text in sorted(glob.glob(pattern))]
    return [run for path in found for run in ([path] if (path / "spec.json").exists() else run_paths(path))]


def _metrics(run: Run) -> pl.LazyFrame:
    done = run.is_done and run.paths.metrics.exists()
    frame = pl.scan_parquet(run.paths.metrics) if done else run.metrics.lazy()
    return frame.with_columns(run=pl.lit(run.name))


def _members(run: Run, shared: set[str]) -> pl.DataFrame:
    fields = run.spec.get("fields", {})
    fixed = [
        pl.lit(fields[name]).alias(name)
        for name in sorted(shared)
        if name in fields and name not in run.members.columns and _is_scalar(fields[name])
    ]
    return run.members.with_columns(run=pl.lit(run.name)).with_columns(fixed)


def _shared_fields(runs: list[Run]) -> set[str]:
    """Fields that are varied in some run, or whose fixed values differ between runs."""
    shared: set[str] = set()
    values: dict[str, set[str]] = {}
    for run in runs:
        shared |= set(run.spec.get("varied", []))
        for name, value in run.spec.get("fields", {}).items():
            if _is_scalar(value):
                values.setdefault(name, set()).add(repr(value))
    return shared | {name for name, seen in values.items() if len(seen) > 1}


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | int | float)
