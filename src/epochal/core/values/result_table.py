"""A table that a study ends with, as a value: columns, rows, and what the rows leave open."""

from dataclasses import dataclass
from typing import Any

Entry = float | int | str | None
"""None: there is none, shown as a dash."""


@dataclass(frozen=True, kw_only=True)
class ResultTable:
    """Rows under named ``columns``; ``name`` is its key in ``findings.json``, ``note`` stands below it.

    Raises ``ValueError`` where a row has another length than the columns.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        if bad := [row for row in self.rows if len(row) != len(self.columns)]:
            raise ValueError(
                f"table {self.name}: a row has {len(bad[0])} entries under {len(self.columns)} columns"
            )

    def as_records(self) -> list[dict[str, Entry]]:
        """Its rows by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def as_document(self) -> dict[str, Any]:
        """For ``findings.json``."""
        return {"name": self.name, "title": self.title, "rows": self.as_records(), "note": self.note}
