"""Lengths and sizes as an author gives them for a journal."""

import re

from epochal.core.values.errors import UserError

PER_INCH = {"in": 1.0, "cm": 2.54, "mm": 25.4, "pt": 72.0}
WIDEST_INCHES = 40.0


def inches(text: str, option: str = "--width") -> float:
    """``3.25in``, ``8.3cm``, ``83mm`` or ``240pt`` in inches.

    Raises:
        UserError: no such length, or one that no page has.
    """
    match = re.fullmatch(r"\s*(\d{1,6}(?:\.\d{0,6})?|\.\d{1,6})\s*(in|cm|mm|pt)\s*", text, re.ASCII)
    if match is None:
        raise UserError(f"{option} {text} is no length; write a number and in, cm, mm or pt, such as 3.25in")
    length = float(match[1]) / PER_INCH[match[2]]
    if not 0 < length <= WIDEST_INCHES:
        raise UserError(f"{option} {text} is outside 0 to {WIDEST_INCHES:g}in; a column of text is 3.25in")
    return length


def points(text: str, option: str = "--font") -> float:
    """``8`` or ``8pt`` in points.

    Raises:
        UserError: no size that can be read.
    """
    match = re.fullmatch(r"\s*(\d{1,3}(?:\.\d{0,4})?)\s*(?:pt)?\s*", text, re.ASCII)
    if match is None or not 3 <= float(match[1]) <= 72:
        raise UserError(f"{option} {text} is no font size; write points from 3 to 72, such as 8")
    return float(match[1])
