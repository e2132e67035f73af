"""How much later one event is than another, in steps and as a ratio."""

import math

from epochal.core.values.event import Event
from epochal.core.values.learning import NO_ESTIMATE, Estimate


def lag(first: Event, second: Event) -> tuple[Estimate, Estimate]:
    """Delay (steps) and ratio from ``first`` to ``second``, each with a 95% interval.

    low = d - sqrt((b - b_low)^2 + (a_high - a)^2),  d = b - a, and likewise above; the ratio likewise on logs

    for two estimates with intervals of their own, taken as independent: noise that both curves share makes
    the interval too long, never too short. What an event is censored by (its records) is no error with a
    spread but a bound, and is added in full. A right-censored ``second`` leaves a lower limit: value NaN,
    ``high`` infinite. No estimate where ``first`` did not happen. A ratio has no value and no upper end where
    ``first`` may be at step 0. Under no lag the delay is about 0 and the ratio about 1.

    Source: Zou & Donner 2008, Statistics in Medicine 27, 1693-1702 (intervals of a difference from those of
    its parts).
    """
    if not first.found or math.isnan(first.step):
        return NO_ESTIMATE, NO_ESTIMATE
    if not second.found:
        ratio = second.low / first.high if first.high > 0 else math.nan
        return (
            Estimate(value=math.nan, low=second.low - first.high, high=math.inf),
            Estimate(value=math.nan, low=ratio, high=math.inf),
        )
    delay = difference(
        (first.low, first.step, first.high),
        (second.low, second.step, second.high),
        is_bound=(first.censored != "none", second.censored != "none"),
    )
    if first.high <= 0 or second.low <= 0:
        return delay, NO_ESTIMATE
    if first.low <= 0 or first.step <= 0:
        value = second.step / first.step if first.step > 0 and first.censored != "left" else math.nan
        return delay, Estimate(value=value, low=second.low / first.high, high=math.inf)
    a, b = ((math.log(e.low), math.log(e.step), math.log(e.high)) for e in (first, second))
    logs = difference(a, b, is_bound=(first.censored != "none", second.censored != "none"))
    return delay, Estimate(value=math.exp(logs.value), low=math.exp(logs.low), high=math.exp(logs.high))


def difference(
    a: tuple[float, float, float], b: tuple[float, float, float], *, is_bound: tuple[bool, bool]
) -> Estimate:
    """b - a from (low, middle, high) of each."""
    value = b[1] - a[1]
    below = combined((a[2] - a[1], b[1] - b[0]), is_bound)
    above = combined((a[1] - a[0], b[2] - b[1]), is_bound)
    return Estimate(value=value, low=value - below, high=value + above)


def combined(parts: tuple[float, float], is_bound: tuple[bool, bool]) -> float:
    bounds = sum(part for part, bound in zip(parts, is_bound, strict=True) if bound)
    return bounds + math.hypot(*(0.0 if bound else part for part, bound in zip(parts, is_bound, strict=True)))
