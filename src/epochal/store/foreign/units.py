"""Whether accuracies are fractions or percent."""

from collections.abc import Sequence

import polars as pl

from epochal.core.values.errors import UserError

CLEARLY_PERCENT = 1.5
"""No fraction is above 1, whatever its rounding; in percent any run that learns reaches this."""


def as_fractions(
    metrics: pl.DataFrame, columns: Sequence[str], wanted: Sequence[str], percent: bool | None
) -> tuple[pl.DataFrame, str]:
    """Accuracies in [0, 1], and what was done in words.

    All accuracies of the logs share a unit: a curve that never leaves 1% looks like a fraction by itself, and
    is not where another one reaches 100.

    Raises:
        UserError: a wanted column above 100 (percent) or above 1 (fraction).
    """
    if not columns:
        return metrics, ""
    finite = {c: metrics[c].filter(metrics[c].is_finite()) for c in columns}
    highest = {c: float(v.max()) for c, v in finite.items() if len(v)}  # type: ignore[arg-type]
    top = max(highest.values(), default=0.0)
    is_percent = top > CLEARLY_PERCENT if percent is None else percent
    limit = 100.0 if is_percent else 1.0
    for name in wanted:
        if name in highest and highest[name] > limit * 1.0005:
            raise UserError(
                f"{name} reaches {highest[name]:g}, above {limit:g}: neither a fraction nor percent; give "
                "--kind real or positive"
            )
    if not is_percent:
        return metrics, "accuracies are fractions"
    how = "as said" if percent else f"they reach {top:g}"
    words = f"accuracies are percent ({how}) and were divided by 100"
    return metrics.with_columns((pl.col(c) / 100).clip(upper_bound=1.0) for c in columns), words
