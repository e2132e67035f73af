"""The grammar of values on a command line: one value, a list, a range, log spacing, or paired lists.

=====================  ==========================================  ==========================
text                   values                                      note
=====================  ==========================================  ==========================
``a,b,c``              a, b, c
``0:5``                0, 1, 2, 3, 4                               half-open, as Python's range
``0:10:2``             0, 2, 4, 6, 8
``0.3:0.8:0.1``        0.3, 0.4, 0.5, 0.6, 0.7                     decimal arithmetic, half-open
``log(1e-4,1e-2,5)``   1e-4, ..., 1e-2, five of them               both ends included
``8/255``              0.03137254901960784                         where a number may be broken
``zip(x=1,2,y=a,b)``   (x=1, y=a), (x=2, y=b)                      lists paired, not multiplied
=====================  ==========================================  ==========================
"""

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

MAX_VALUES = 100_000
"""More values than this on one axis are taken for a slip of the keyboard."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER})(?::({_NUMBER}))?")
_LOG = re.compile(rf"log\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*(\d{{1,9}})\s*\)")
_FRACTION = re.compile(rf"({_NUMBER})\s*/\s*({_NUMBER})")
_ZIP = re.compile(r"zip\((.*)\)", re.DOTALL)


def expand(text: str, *, numeric: bool) -> list[str]:
    """The values that a text stands for, each as text; ranges and ``log(...)`` in numeric fields only.

    Raises:
        ValueError: a range that is empty, endless or too long, or an empty value.
    """
    text = text.strip()
    if numeric and (match := _RANGE.fullmatch(text)):
        return _range(match[1], match[2], match[3])
    if numeric and (match := _LOG.fullmatch(text)):
        return _log_spaced(float(match[1]), float(match[2]), int(match[3]))
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 1 and "" in parts:
        raise ValueError(f"has an empty value in the list {text!r}; write a,b,c")
    if numeric and len(parts) > 1:
        return [value for part in parts for value in expand(part, numeric=True)]
    return parts


def fraction(text: str) -> float | None:
    """``8/255`` as the nearest number; None for what is no fraction.

    Raises:
        ValueError: the denominator is 0.
    """
    match = _FRACTION.fullmatch(text.strip())
    if match is None:
        return None
    over, under = float(match[1]), float(match[2])
    if under == 0:
        raise ValueError("divides by 0; write a fraction such as 8/255")
    return over / under


def split_zip(text: str) -> list[tuple[str, str]] | None:
    """``zip(x=1,2,y=a,b)`` as ``[("x", "1,2"), ("y", "a,b")]``; None when the text is no zip.

    Raises:
        ValueError: an empty or malformed zip.
    """
    match = _ZIP.fullmatch(text.strip())
    if match is None:
        return None
    parts = re.split(r"[,\s]+(?=[A-Za-z_][\w.]*=)", match[1].strip())
    pairs = [part.partition("=") for part in parts]
    if len(pairs) < 2 or any(not (name and equals) for name, equals, _ in pairs):
        raise ValueError(f"{text!r} pairs nothing; write zip(x=1,2,y=3,4)")
    return [(name.strip(), values.strip()) for name, _, values in pairs]


def compact(values: Sequence[object]) -> str:
    """The shortest text of the grammar that expands to these values."""
    if len(values) > 2 and all(type(value) is int for value in values):
        first, last = values[0], values[-1]
        assert isinstance(first, int) and isinstance(last, int)
        if list(values) == list(range(first, last + 1)):
            return f"{first}:{last + 1}"
    return ",".join(value_text(value) for value in values)


def value_text(value: object) -> str:
    """One value as a person writes it: ``none``, ``true``, ``0.3``, ``1e-05``, ``50+log:20``."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
        return str(int(value))
    if isinstance(value, list | tuple):
        return ",".join(value_text(item) for item in value)
    return str(value)


def described(values: Mapping[str, object]) -> str:
    """``seed=0, weight_decay=0.1``."""
    return ", ".join(f"{name}={value_text(value)}" for name, value in values.items())


def _range(start_text: str, stop_text: str, step_text: str | None) -> list[str]:
    try:
        start, stop, step = Decimal(start_text), Decimal(stop_text), Decimal(step_text or 1)
    except InvalidOperation as error:
        raise ValueError("is not a range of numbers") from error
    if step <= 0 or stop <= start:
        raise ValueError(
            "is an empty range; write start:stop or start:stop:step with start < stop and step > 0"
        )
    count = math.ceil((stop - start) / step)
    if count > MAX_VALUES:
        raise ValueError(f"stands for {count} values, more than {MAX_VALUES}")
    return [str(start + step * k) for k in range(count)]


def _log_spaced(low: float, high: float, count: int) -> list[str]:
    if not (0 < low < math.inf and 0 < high < math.inf) or not 2 <= count <= MAX_VALUES:
        raise ValueError(f"needs log(low,high,count) with low, high > 0 and 2 <= count <= {MAX_VALUES}")
    steps = (math.log10(low) + (math.log10(high) - math.log10(low)) * k / (count - 1) for k in range(count))
    inner = [repr(float(f"{10**exponent:.6g}")) for exponent in steps]
    return [repr(low), *inner[1:-1], repr(high)]
