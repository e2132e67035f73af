"""A quantity against a varied field: which field, its axis, and the median over repetitions."""

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Literal

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Cell, Scale
from epochal.report.reading import RunLike, as_text, check_field, is_replicate, varied_fields

FieldScale = Literal["auto", "log", "linear", "category"]
WIDE = 20
"""From this ratio of the largest to the smallest value on, a field's axis is logarithmic."""
COVERAGE = 0.95
WIDEST = 0.03
"""Share of the axis that lines side by side take up: farther apart, they seem to lie at other values."""


def chosen_field(run: RunLike, given: str, *, option: str, besides: Sequence[str] = ()) -> str:
    """The field that an option names, or by itself the one with most values that no other option has.

    Raises:
        UserError: the field does not vary, or none is left; seeds are taken only where they are asked for.
    """
    if given != "auto":
        return check_field(run, given)
    free = [f for f in varied_fields(run) if not is_replicate(f) and f not in besides]
    if not free:
        also = f" besides {' and '.join(besides)}" if besides else " besides seeds"
        raise UserError(
            f"{run.name} varies no field{also}; {option}=auto needs one: run a grid, weight_decay=0.1,1"
        )
    return max(free, key=lambda f: run.members[f].n_unique())


def values_of(run: RunLike, field: str) -> dict[int, Cell]:
    """Member to its value of a field; what is neither number nor text as text."""
    is_plain = run.members.schema[field].is_numeric()
    rows = run.members.select("member", field).iter_rows()
    return {member: value if is_plain and value is not None else as_text(value) for member, value in rows}


def ordered(values: Sequence[Cell]) -> list[Cell]:
    """Distinct values: numbers ascending, then text as it came."""
    distinct = list(dict.fromkeys(values))
    return sorted(distinct, key=lambda v: (isinstance(v, str), 0 if isinstance(v, str) or v is None else v))


def field_axis(field: str, values: Sequence[Cell], scale: FieldScale, *, margin: float = 0.04) -> Axis:
    """An axis of a field: by itself logarithmic for positive numbers over a wide range, linear for others.

    Raises:
        UserError: numbers are asked for where there is text, or a logarithm of 0.
    """
    numbers = [float(v) for v in values if isinstance(v, int | float)]
    is_numeric = len(numbers) == len(values)
    if scale in ("log", "linear") and not is_numeric:
        raise UserError(f"x_scale={scale} needs numbers, {field} has {as_text(values[0])!r}; take category")
    if scale == "log" and min(numbers) <= 0:
        raise UserError(f"x_scale=log has no place for {field}={min(numbers):g}; take linear or category")
    chosen: Scale
    if scale == "auto":
        is_wide = is_numeric and min(numbers) > 0 and max(numbers) >= WIDE * min(numbers)
        # A zero beside values of many sizes (weight_decay=0,0.01,0.1,1) has its place only in a list.
        spread = [v for v in numbers if v > 0]
        has_zero = (
            is_numeric and min(numbers) == 0 and max(spread, default=1) >= WIDE * min(spread, default=1)
        )
        chosen = "log" if is_wide else "category" if has_zero or not is_numeric else "linear"
    else:
        chosen = scale
    if chosen == "category":
        return Axis(label=field, scale="category", order=tuple(short_texts(values).values()))
    low, high = min(numbers), max(numbers)
    if chosen == "log":
        ratio = max((high / low) ** margin, math.exp(_least_gap(numbers, chosen) / 4), 1.2)
        return Axis(label=field, scale="log", domain=(low / ratio, high * ratio))
    room = max(margin * (high - low), _least_gap(numbers, chosen) / 4) or max(abs(low) * margin, 0.5)
    return Axis(label=field, scale="linear", domain=(low - room, high + room))


def places(values: Sequence[Cell], axis: Axis, line: int, num_lines: int) -> dict[Cell, Cell]:
    """Where each value of the field is drawn: lines side by side, a third of the least gap wide, at most
    ``WIDEST`` of the axis."""
    distinct = ordered(values)
    if axis.scale == "category":
        return dict(short_texts(values))
    numbers = [float(str(v)) for v in distinct]
    laid = [math.log(v) for v in numbers] if axis.scale == "log" else numbers
    width = min(_least_gap(numbers, axis.scale) / 3, WIDEST * (max(laid) - min(laid)))
    shift = width * ((line + 0.5) / num_lines - 0.5)
    moved = [math.exp(at + shift) if axis.scale == "log" else at + shift for at in laid]
    return dict(zip(distinct, moved if num_lines > 1 else numbers, strict=True))


def _least_gap(numbers: Sequence[float], scale: Scale) -> float:
    """Between neighbouring values, as an axis lays them out."""
    laid = sorted({math.log(v) if scale == "log" else v for v in numbers})
    return min((b - a for a, b in itertools.pairwise(laid)), default=0.0)


def short_texts(values: Sequence[Cell]) -> dict[Cell, str]:
    """Values as text, with three digits where that tells them apart."""
    distinct = ordered(values)
    for text in (lambda v: f"{v:.3g}" if isinstance(v, float) else as_text(v), as_text):
        texts = {v: text(v) for v in distinct}
        if len(set(texts.values())) == len(texts):
            return texts
    return {v: f"{as_text(v)} ({i})" for i, v in enumerate(distinct)}


def middle(values: Sequence[float]) -> tuple[float, float, float]:
    """The median with an interval: 95% from order statistics, or the whole range where too few are given.

    The interval from the k-th smallest to the k-th largest of n values holds the median of their distribution
    with probability ``1 - 2 P(Binomial(n, 1/2) < k)``; below 6 values not even the range does in 95%. What
    was not reached counts as infinite.
    """
    ordered_values = sorted(values)
    n = len(ordered_values)
    k = 1
    while k < (n + 1) // 2 and 1 - 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n >= COVERAGE:
        k += 1
    return median(ordered_values), ordered_values[k - 1], ordered_values[n - k]


INTERVAL_WORDS = "bars: 95% interval of the median (order statistics; the range with fewer than 6)"


def columns_table(rows: Sequence[Mapping[str, Cell]], names: Sequence[str] = ()) -> dict[str, list[Cell]]:
    """Rows as columns; without rows the ``names`` alone."""
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else names)}
