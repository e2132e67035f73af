"""What was found of single examples of a run: a table of influences or susceptibilities; how it was made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from epochal.store.documents import write_json, write_parquet
from epochal.store.run import Run


def write_responses(run: Run, name: str, table: pl.DataFrame, about: Mapping[str, Any]) -> Path:
    """``NAME.parquet`` with ``NAME.json`` beside it, in place of those there are; the table's path."""
    path = run.paths.run / f"{name}.parquet"
    write_parquet(path, table)
    write_json(run.paths.run / f"{name}.json", about)
    return path
