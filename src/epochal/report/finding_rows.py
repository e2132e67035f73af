"""A finding as a row of a page: numbers as text, with what they mean."""

from collections.abc import Mapping
from typing import Any

from epochal.report.tables import number


def finding_row(finding: Mapping[str, Any]) -> dict[str, Any]:
    """A finding as a page shows it, from its stored row: numbers as text."""
    has_interval = finding["low"] is not None or finding["high"] is not None
    low, high = _end(finding["low"], "-∞"), _end(finding["high"], "∞")
    return {
        **finding,
        "estimate": _end(finding["estimate"], "") if finding["estimate"] is not None else "–",
        "interval": f"{low} to {high} ({100 * finding['level']:.3g}%)" if has_interval else "–",
        "margin": number(finding["margin"]) if finding["margin"] is not None else "–",
        "p": number(finding["p"]),
        "adjusted_p": number(finding["adjusted_p"]),
        "smallest": number(finding["smallest_p"]),
    }


def _end(value: float | str | None, infinite: str) -> str:
    """A number, "inf", or, of an interval in the file of a study, null for an end that is infinite."""
    return infinite if value is None else number(float(value)).replace("inf", "∞")
