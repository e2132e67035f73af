"""The columns that the tables of a run always have."""

from collections.abc import Iterable, Mapping
from dataclasses import fields

import polars as pl

from epochal.core.values.event import Event

OUTCOME_SCHEMA: dict[str, pl.DataType] = {
    "outcome": pl.String(),
    "outcome_step": pl.Int64(),
    "outcome_reason": pl.String(),
}

_EVENT_DTYPES: dict[object, pl.DataType] = {bool: pl.Boolean(), float: pl.Float64()}

EVENT_SCHEMA: dict[str, pl.DataType] = {
    "member": pl.Int64(),
    "name": pl.String(),
    "probe": pl.String(),
    **{field.name: _EVENT_DTYPES.get(field.type, pl.String()) for field in fields(Event)},
}
"""Which member, the event's name, the metric column it was found in, then the fields of `Event`."""


def members_table(members: pl.DataFrame) -> pl.DataFrame:
    """``members`` with the three outcome columns, which say ``running`` where they are missing.

    Raises:
        AssertionError: no ``member`` or ``member_id``.
    """
    assert {"member", "member_id"} <= set(members.columns), f"members lack an id: {members.columns}"
    defaults = {"outcome": "running", "outcome_step": None, "outcome_reason": None}
    missing = [
        pl.lit(defaults[name], dtype=dtype).alias(name)
        for name, dtype in OUTCOME_SCHEMA.items()
        if name not in members.columns
    ]
    return members.with_columns(missing).with_columns(
        pl.col(name).cast(dtype) for name, dtype in OUTCOME_SCHEMA.items()
    )


def events_table(rows: Iterable[Mapping[str, object]]) -> pl.DataFrame:
    """Rows of `EVENT_SCHEMA` (missing values are null); further columns follow with the dtypes they have."""
    rows = list(rows)
    extra = list(dict.fromkeys(name for row in rows for name in row if name not in EVENT_SCHEMA))
    columns = [pl.Series(name, [row.get(name) for row in rows], dtype=d) for name, d in EVENT_SCHEMA.items()]
    columns += [pl.Series(name, [row.get(name) for row in rows], strict=False) for name in extra]
    return pl.DataFrame(columns)
