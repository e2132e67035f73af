"""Where an axis with a logarithm begins and ends, its ticks, and what they are called."""

import math
from collections.abc import Iterable, Sequence

from epochal.core.values.figure import Cell, Scale

MAX_LABELS = 8
"""Powers of ten that get a label; with more decades every second, third, ... one does."""


def domain_of(columns: Iterable[Sequence[Cell]], scale: Scale) -> tuple[float, float]:
    """Smallest and largest finite value (of the positive ones for log); a unit range without any."""
    numbers = (v for column in columns for v in column if isinstance(v, int | float) and math.isfinite(v))
    values = [float(v) for v in numbers if scale != "log" or v > 0]
    if not values:
        return (1.0, 10.0) if scale == "log" else (0.0, 1.0)
    low, high = min(values), max(values)
    if high > low:
        return low, high
    return (low / 2, high * 2) if scale == "log" else (low, low + 1.0)


def ticks(low: float, high: float, scale: Scale) -> dict[float, str]:
    """Places and labels of the ticks; an unlabelled one is a small one.

    Powers of ten carry labels; 0 does on symlog; the multiples 2 to 9 are small ticks where there is room,
    and 2 and 5 carry labels where fewer than three powers lie in the range. Empty where even that gives
    fewer than two labels: so short a range reads like a linear one.
    """
    first = math.ceil(math.log10(low) - 1e-9) if scale == "log" else 0
    last = math.floor(math.log10(high) + 1e-9) if high > 0 else -1
    powers = [p for p in range(first, last + 1) if scale == "log" or p >= 0]
    every = -(-len(powers) // MAX_LABELS) or 1
    named = (1, 2, 5) if len(powers) < 3 else (1,)
    marks = {0.0: "0"} if scale == "symlog" and low <= 0 else {}
    for power in range(first - (scale == "log"), last + 1):
        for multiple in range(1, 10) if every == 1 else (1,):
            mark = float(f"{multiple}e{power}")
            if low * (1 - 1e-9) <= mark <= high * (1 + 1e-9):
                is_named = multiple in named and (power - first) % every == 0
                marks[mark] = tick_label(mark) if is_named else ""
    if scale == "symlog" and low < 0:
        marks |= {-(10.0**p): tick_label(-(10.0**p)) for p in range(30) if 10.0**p <= -low}
    return marks if sum(map(bool, marks.values())) > 1 else {}


def tick_label(value: float) -> str:
    """1, 20, 500, 1k, 10k, 1M and 0.1, 0.01, 1e-3."""
    if value == 0:
        return "0"
    size = abs(value)
    for unit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if unit <= size < 1e12:
            return f"{value / unit:g}{suffix}"
    if size < 0.01 or size >= 1e12:
        mantissa, exponent = f"{value:e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:g}"
