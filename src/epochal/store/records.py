"""A run's measurements while it trains: one JSON object per line, whole lines only, every float exact.

JSON has no NaN and no infinity. A value that is not finite is written as null and named in the column
``status`` ("val_loss=inf; angles[2]=nan"); a null without an entry there was not measured. Readers put the
values back. The sign and payload bits of a NaN are the only bits that do not survive.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from epochal.core.values.errors import UserError
from epochal.store.atomic import explain_disk_errors, sync_folder, write_all
from epochal.store.schema import STATUS, Schema, polars_schema

Row = Mapping[str, object]


class RecordWriter:
    """The one writer of one record file."""

    def __init__(self, path: Path, schema: Schema, offset: int | None = None) -> None:
        """Open ``path`` for appending, creating it and its folder if need be.

        ``offset`` (bytes, from a resume state) cuts the file there; without one only a torn last line, left
        by a kill in the middle of a write, is cut off.

        Raises:
            UserError: the file is shorter than ``offset`` or no line ends there; or the disk is full.
        """
        self.path = path
        self._dtypes = polars_schema(schema)
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        with explain_disk_errors(path, wanted_bytes=0):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                end = end_of_lines(self._descriptor) if offset is None else offset
                if not ends_line(self._descriptor, end):
                    raise UserError(
                        f"{path} holds no whole line up to byte {end}, where its resume state continues; "
                        "remove the resume folder next to it to start over"
                    )
                os.ftruncate(self._descriptor, end)
                if is_new:
                    sync_folder(path.parent)
            except BaseException:
                os.close(self._descriptor)
                raise
        self._offset = end

    @property
    def offset(self) -> int:
        """Bytes of whole lines in the file."""
        return self._offset

    def append(self, rows: Iterable[Row]) -> None:
        """Write all ``rows`` in one call. A column that a row lacks, or None in it, was not measured.

        Values may be Python or NumPy numbers, or arrays for list columns. If the write fails half-way, the
        file is cut back to where it was: either all rows are in it or none.

        Raises:
            UserError: the disk is full.
            AssertionError: an undeclared column, or a value that does not fit its column.
        """
        data = "".join(_line(row, self._dtypes) for row in rows).encode()
        with explain_disk_errors(self.path, wanted_bytes=len(data)):
            try:
                write_all(self._descriptor, data)
            except BaseException:
                os.ftruncate(self._descriptor, self._offset)
                raise
        self._offset += len(data)

    def sync(self) -> None:
        """Make everything appended so far durable. Call it before saving the state that quotes `offset`."""
        with explain_disk_errors(self.path, wanted_bytes=self._offset):
            os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_records(paths: Path | Iterable[Path], schema: Schema) -> pl.DataFrame:
    """All whole lines of the record files, in the order given, with exactly the columns of ``schema``.

    A torn last line is what a writer at work, or a killed one, leaves: it is ignored. Declared columns that a
    file lacks are null; columns that are not declared are left out.

    Raises:
        UserError: a broken line elsewhere, with file and line number.
    """
    dtypes = polars_schema(schema)
    paths = [paths] if isinstance(paths, Path) else list(paths)
    frames = [_read_one(path, dtypes) for path in paths]
    return pl.concat(frames) if frames else pl.DataFrame(schema=dtypes)


def end_of_lines(descriptor: int) -> int:
    """The byte after the last newline of a file, 0 if there is none."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - 65536)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def ends_line(descriptor: int, offset: int) -> bool:
    """Whether ``offset`` is the start of a file or the byte after a newline in it."""
    return offset == 0 or os.pread(descriptor, 1, offset - 1) == b"\n"


def _line(row: Row, dtypes: Mapping[str, pl.DataType]) -> str:
    unknown = row.keys() - dtypes.keys()
    assert not unknown, f"columns {sorted(unknown)} are not in the schema"
    status: list[str] = []
    cells = {column: _encode(row.get(column), dtype, column, status) for column, dtype in dtypes.items()}
    return json.dumps(cells | {STATUS: "; ".join(status) or None}, allow_nan=False) + "\n"


def _encode(value: Any, dtype: pl.DataType, place: str, status: list[str]) -> object:
    """One value as JSON can hold it; what it cannot hold goes to ``status`` under the name ``place``."""
    if value is None:
        return None
    if isinstance(dtype, pl.List):
        inner = dtype.inner
        assert isinstance(inner, pl.DataType)
        items = value.tolist() if hasattr(value, "tolist") else list(value)
        return [_encode(item, inner, f"{place}[{i}]", status) for i, item in enumerate(items)]
    if hasattr(value, "item"):  # a NumPy scalar, or an array with one element
        value = value.item()
    if dtype == pl.Float64:
        assert isinstance(value, Real), f"{place}={value!r} is not a number"
        number = float(value)
        if not math.isfinite(number):
            status.append(f"{place}={number}")
            return None
        return number
    if dtype == pl.Int64:
        assert isinstance(value, Integral) and -(2**63) <= int(value) < 2**63, (
            f"{place}={value!r} is no int64"
        )
        return int(value)
    if dtype == pl.Boolean:
        assert isinstance(value, bool), f"{place}={value!r} is not a bool"
        return value
    assert isinstance(value, str), f"{place}={value!r} is not a string"
    return value.encode(errors="replace").decode()  # a lone surrogate is no Unicode text


def _read_one(path: Path, dtypes: Mapping[str, pl.DataType]) -> pl.DataFrame:
    data = path.read_bytes()
    data = data[: data.rfind(b"\n") + 1]
    if not data:
        return pl.DataFrame(schema=dict(dtypes))
    schema = {**dtypes, STATUS: pl.String()}
    try:
        frame = pl.read_ndjson(data, schema=schema)
        if frame.height != data.count(b"\n"):
            raise pl.exceptions.ComputeError("an empty line")  # polars skips it; a writer never makes one
    except pl.exceptions.PolarsError as error:
        raise _broken(path, data, schema, str(error)) from error
    return _restore(frame, path, dtypes)


def _restore(frame: pl.DataFrame, path: Path, dtypes: Mapping[str, pl.DataType]) -> pl.DataFrame:
    status, frame = frame[STATUS], frame.drop(STATUS)
    replaced: dict[str, list[tuple[int, str, float]]] = {}
    for row in status.is_not_null().arg_true():
        for entry in status[row].split("; "):
            place, _, text = entry.rpartition("=")
            column, _, index = place.partition("[")
            try:
                replaced.setdefault(column, []).append((row, index.rstrip("]"), float(text)))
            except ValueError as error:
                raise _damaged(path, row + 1, f"{STATUS} entry {entry!r}") from error
    for column in replaced.keys() & dtypes.keys():
        values: list[Any] = frame[column].to_list()
        for row, index, number in replaced[column]:
            if index:
                values[row][int(index)] = number
            else:
                values[row] = number
        frame = frame.with_columns(pl.Series(column, values, dtype=dtypes[column]))
    return frame


def _broken(path: Path, data: bytes, schema: dict[str, pl.DataType], error: str) -> UserError:
    """The first line that polars does not read by itself; it names none when it reads many at once."""
    for number, line in enumerate(data.splitlines(keepends=True), start=1):
        try:
            if pl.read_ndjson(line, schema=schema).height == 1:
                continue
            problem = "an empty line"
        except pl.exceptions.PolarsError as line_error:
            problem = str(line_error)
        return _damaged(path, number, problem)
    return _damaged(path, 0, error)


def _damaged(path: Path, line: int, problem: str) -> UserError:
    problem = problem.splitlines()[0][:120]
    return UserError(
        f"{path} line {line} is damaged ({problem}); restore the file from a copy, or delete that line to "
        "lose only its record"
    )
