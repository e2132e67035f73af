"""What columns a run's records have, declared by name before step 0."""

from collections.abc import Mapping
from typing import Any

import polars as pl

Schema = Mapping[str, str | Mapping[str, Any]]
"""Column to dtype name, or to an object with ``dtype`` and whatever else is known (unit, null, source).

A dtype is ``bool``, ``int64``, ``float64``, ``string``, or ``list[...]`` of one of them. Narrower names
(``int32``, ``float32``) are allowed and stored in 64 bits, which holds them exactly.
"""

STATUS = "status"
"""Written by `RecordWriter` next to the declared columns: which null of a row was not finite, and how."""


def declared_columns(schema: Schema) -> dict[str, dict[str, Any]]:
    """``schema`` with every entry as an object, as ``schema.json`` has it."""
    return {
        column: {"dtype": entry} if isinstance(entry, str) else dict(entry)
        for column, entry in schema.items()
    }


def polars_schema(schema: Schema) -> dict[str, pl.DataType]:
    """The declared columns as polars dtypes, in their order.

    Raises:
        AssertionError: a dtype that is not in the list, or a name that `STATUS` could not quote.
    """
    for column in schema:
        assert column != STATUS, f"column {STATUS!r} is the writer's own"
        assert column and not set(column) & set(";=[]"), f"column {column!r} may not contain ; = [ ]"
    return {column: _dtype(entry["dtype"]) for column, entry in declared_columns(schema).items()}


def _dtype(name: str) -> pl.DataType:
    if name.startswith("list[") and name.endswith("]"):
        return pl.List(_dtype(name[5:-1]))
    assert name in _DTYPES, f"dtype {name!r} is none of {', '.join(_DTYPES)} or list[...]"
    return _DTYPES[name]


_DTYPES: dict[str, pl.DataType] = {
    "bool": pl.Boolean(),
    "int32": pl.Int64(),
    "int64": pl.Int64(),
    "float32": pl.Float64(),
    "float64": pl.Float64(),
    "string": pl.String(),
}
