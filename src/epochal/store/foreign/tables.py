"""CSV, JSONL and Parquet as they come from loggers and exports: strict about what is needed, one line per
error."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from epochal.core.values.errors import UserError
from epochal.store.foreign.log import Log

DELIMITERS = (",", "\t", ";")
MISSING = {"", "null", "none", "na", "n/a", "-"}
NOT_FINITE = {
    "nan": math.nan,
    "inf": math.inf,
    "infinity": math.inf,
    "-inf": -math.inf,
    "-infinity": -math.inf,
}


def read_csv(path: Path) -> Log:
    """A table with a header line, separated by commas, tabs or semicolons.

    A last line that is torn (too short, and without a line end) is left out with a note: a killed program
    leaves one. Columns whose cells are all numbers are numbers, all others text.

    Raises:
        UserError: no text, no header, no rows, or a line with a wrong number of cells.
    """
    text = as_text(path)
    lines = text.splitlines()
    if not lines or not lines[0].strip():
        raise UserError(f"{path} is empty: give a table with a header line")
    delimiter = max(DELIMITERS, key=lines[0].count)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    header = [name.strip() for name in rows[0]]
    if all(is_number(name) for name in header):
        raise UserError(f"{path} begins with numbers: give its columns names in a header line")
    if repeated := [name for name in header if header.count(name) > 1 and name]:
        raise UserError(f"{path} has the column {repeated[0]!r} twice; rename one")
    notes, kept = [], []
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) != len(header):
            is_last = number == len(rows)
            if is_last and len(row) < len(header) and not text.endswith(("\n", "\r")):
                notes.append(f"{path.name}: the torn last line {number} was left out")
                continue
            raise UserError(
                f"{path} line {number} has {len(row)} cells, its header {len(header)}; mend or delete it"
            )
        kept.append(row)
    if not notes and not text.endswith(("\n", "\r")):
        notes.append(f"{path.name}: the last line has no line end; if its last cell was cut short, delete it")
    if not kept:
        raise UserError(f"{path} has a header and no rows: nothing to analyse")
    columns = {name or f"column_{i}": [row[i] for row in kept] for i, name in enumerate(header) if name or i}
    frame = pl.DataFrame({name: as_numbers(cells) for name, cells in columns.items()}, strict=False)
    return Log(path=path, program="table", frame=frame, notes=tuple(notes))


def read_jsonl(path: Path) -> Log:
    """A JSON object per line, or one array of them; nested names are joined by dots.

    Raises:
        UserError: no text, a line that is no object (a torn last line is left out, with a note).
    """
    text = as_text(path)
    if not text.strip():
        raise UserError(f"{path} is empty: give a JSON object per line")
    rows: list[dict[str, object]] = []
    notes = []
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise UserError(f"{path} is no JSON array ({error}); give a JSON object per line") from error
        pairs = [(i, row) for i, row in enumerate(found, start=1)]
    else:
        pairs = []
        lines = text.splitlines()
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                pairs.append((number, json.loads(line)))
            except ValueError as error:
                if number == len(lines) and number > 1 and not text.endswith("\n"):
                    notes.append(f"{path.name}: the torn last line {number} was left out")
                    continue
                raise UserError(f"{path} line {number} is no JSON ({error}); mend or delete it") from error
    for number, row in pairs:
        if not isinstance(row, dict):
            raise UserError(f"{path} line {number} is no JSON object: give one {{...}} per record")
        rows.append(flattened(row))
    if not rows:
        raise UserError(f"{path} has no records: nothing to analyse")
    return Log(
        path=path,
        program="table",
        frame=pl.DataFrame(as_columns(rows, path, first_line=1)),
        notes=tuple(notes),
    )


def read_parquet(path: Path) -> Log:
    """A Parquet file; numbers stay numbers, lists and dates are left out.

    Raises:
        UserError: it cannot be read, or has no rows.
    """
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        problem = str(error).splitlines()[0][:120]
        raise UserError(f"{path} is no Parquet file that can be read ({problem})") from error
    if not len(frame):
        raise UserError(f"{path} has no rows: nothing to analyse")
    plain = [
        name
        for name, dtype in frame.schema.items()
        if dtype.is_numeric() or dtype in (pl.String, pl.Boolean, pl.Categorical)
    ]
    return Log(
        path=path,
        program="table",
        frame=frame.select(
            pl.col(name).cast(pl.String) if frame.schema[name] == pl.Categorical else pl.col(name)
            for name in plain
        ),
    )


def as_text(path: Path) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        UserError: it is no text.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is no text in UTF-8: give CSV, JSONL, Parquet, event files or a Lightning log"
        ) from error


def as_numbers(cells: Sequence[str]) -> list[float | None] | list[str | None]:
    """Cells as numbers where every cell is one or missing, else as text."""
    numbers: list[float | None] = []
    for cell in cells:
        word = cell.strip()
        if word.lower() in MISSING:
            numbers.append(None)
        elif is_number(word):
            numbers.append(to_number(word))
        else:
            return [None if c.strip().lower() in MISSING else c for c in cells]
    return numbers


def is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word


def to_number(word: str) -> float:
    return NOT_FINITE.get(word.lower(), float(word))


def flattened(row: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested mappings as dotted names."""
    flat: dict[str, object] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def as_columns(rows: Sequence[Mapping[str, object]], path: Path, *, first_line: int) -> dict[str, pl.Series]:
    """Rows as columns of numbers or of text; what is neither is left out.

    Numbers and text in one column is an error at the first row that breaks the rule, except for the words
    that JSON uses for what it has no number for ("NaN", "Infinity").
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {}
    for name in names:
        values = [_not_finite(row.get(name)) for row in rows]
        kinds = {type(value) for value in values if value is not None}
        if kinds and kinds <= {int, float, bool}:
            columns[name] = pl.Series(name, [None if v is None else float(v) for v in values], pl.Float64)  # type: ignore[arg-type]
        elif kinds and kinds <= {int, float, bool, str}:
            if str in kinds and len(kinds) > 1:
                number = next(i for i, v in enumerate(values) if isinstance(v, str))
                if sum(isinstance(v, str) for v in values) * 2 < len(values):
                    raise UserError(
                        f"{path} line {number + first_line}: {name} is {values[number]!r}, no number; mend "
                        "or delete the line"
                    )
            columns[name] = pl.Series(name, [None if v is None else str(v) for v in values], pl.String)
    return columns


def _not_finite(value: object) -> object:
    return NOT_FINITE.get(value.lower(), value) if isinstance(value, str) else value


def first_text(cells: Iterable[object]) -> tuple[int, object] | None:
    """The first cell that is no number, and its place."""
    for i, cell in enumerate(cells):
        word = str(cell).strip().lower()
        if cell is not None and word not in MISSING and not is_number(word):
            return i, cell
    return None
