"""A table of results as a page shows it."""

from typing import Any

from epochal.core.values.result_table import ResultTable
from epochal.report.tables import number


def table_shown(table: ResultTable) -> dict[str, Any]:
    """Numbers as text; a column of numbers only is set to the right."""
    cells = list(zip(*table.rows, strict=True)) or [() for _ in table.columns]
    return {
        "name": table.name,
        "title": table.title,
        "note": table.note,
        "columns": table.columns,
        "is_number": [not any(isinstance(cell, str) for cell in column) for column in cells],
        "rows": [[cell if isinstance(cell, str) else number(cell) for cell in row] for row in table.rows],
    }
