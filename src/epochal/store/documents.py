"""Small files of a run: JSON objects and Parquet tables, written whole, read with one-line errors."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from epochal.core.values.errors import UserError
from epochal.store.atomic import write_file

RUN_FORMAT = 1
"""The only format of run directories so far."""


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, indented for people.

    Raises:
        UserError: the disk is full.
        ValueError: NaN or an infinity in ``content``, which JSON does not have.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_file(path, text.encode() + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; restore it from a copy, or remove the run") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); restore it from a copy, or remove the run") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged (no JSON object); restore it from a copy, or remove the run")
    return content


def read_spec(run: Path) -> dict[str, Any]:
    """``spec.json`` of a run directory whose format this version reads.

    Raises:
        UserError: not a run, or another format, or damaged.
    """
    path = run / "spec.json"
    if not path.exists():
        raise UserError(f"{run} is not a run (it has no spec.json); `epochal ls` lists the runs")
    spec = read_json(path)
    check_format(run, spec, RUN_FORMAT)
    return spec


def check_format(path: Path, content: Mapping[str, Any], known: int) -> None:
    """Refuses a document of a format that this version does not read.

    Raises:
        UserError: its ``format`` is another one than ``known``.
    """
    if content.get("format") != known:
        raise UserError(
            f"{path} has format {content.get('format')!r}, this version of epochal reads {known}; "
            "open it with the version that wrote it"
        )


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """Write a table.

    Raises:
        UserError: the disk is full.
    """
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    write_file(path, buffer.getbuffer())


def read_parquet(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a table.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        return pl.read_parquet(path, columns=columns)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; restore it from a copy, or remove the run") from error
    except pl.exceptions.PolarsError as error:
        problem = str(error).splitlines()[0][:120]
        raise UserError(
            f"{path} is damaged ({problem}); restore it from a copy, or remove the run"
        ) from error
