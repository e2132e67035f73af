"""Rows of the probe ``llc`` as a command prints them: numbers that are no estimates in brackets, and why."""

from collections.abc import Sequence
from typing import Any

from epochal.analysis.chains.verdict import SIGNS, reasons_of_row

SAID = tuple(f"{of}_{sign}" for of in ("llc", "llc_blocks") for sign in (*SIGNS, "step_bias", "acceptance"))
"""Columns that the verdict says in words; the file and --json have them."""


def with_verdicts(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without ``llc_equilibrated`` as they are."""
    return [_with_verdict(row) if row.get("llc_equilibrated") is not None else row for row in rows]


def _with_verdict(row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name not in SAID}
    is_settled, reasons = row["llc_equilibrated"] == 1, reasons_of_row(row)
    if not is_settled and row["llc"] is not None:
        shown["llc"] = f"({row['llc']:.6g})"
    verdict = "equilibrated" if is_settled else "not equilibrated"
    return shown | {"verdict": f"{verdict}: {'; '.join(reasons)}" if reasons else verdict}
