"""What is said about one curve: a fitted transition as an event in steps, or why there is none."""

import math
from dataclasses import dataclass

import numpy as np

from epochal.analysis.curves.curve import Curve
from epochal.analysis.curves.estimate import RIVAL_COST, Transition
from epochal.analysis.curves.logistic import on_axis, spacing, to_step
from epochal.core.values.event import Censoring, Event


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The transition, or none; and where the curve only stayed elsewhere, the first and last step of that."""

    event: Event
    stay: tuple[float, float] | None = None


def as_event(curve: Curve, fitted: Transition, low: float, high: float, p: float) -> Event:
    """The fitted transition in steps; where it is too narrow for the records, in records."""
    place = fitted.place
    step, onset, end = (to_step(place.midpoint + f * place.width, place.axis) for f in (0.0, -0.5, 0.5))
    low, high = to_step(low, place.axis), to_step(high, place.axis)
    if fitted.rival is not None:
        # The records do not tell the axis: a midpoint on the other one counts where the likelihood of both
        # together does not speak against it, and what that axis is behind is spent already.
        other = to_step(fitted.rival.midpoint, fitted.rival.axis)
        left = math.sqrt(1 - max(fitted.behind, 0.0) / RIVAL_COST)
        low, high = min(low, other - left * (step - low)), max(high, other + left * (high - step))
    steps = curve.steps
    low, high = max(min(low, step), float(steps[0])), min(max(high, step), float(steps[-1]))
    censored: Censoring = "none"
    what = "rise" if fitted.height > 0 else "fall"
    reason = f"a {what} by {abs(fitted.height):.3g} around step {step:.6g}"
    if place.width < float(spacing(on_axis(steps, place.axis), np.array(place.midpoint))):
        before = max(int(np.searchsorted(steps, low, side="right")) - 1, 0)
        after = min(int(np.searchsorted(steps, high, side="left")), len(steps) - 1)
        low, high = float(steps[before]), float(steps[after])
        reason = f"a {what} by {abs(fitted.height):.3g} within one record interval, around step {step:.6g}"
        if after - before <= 1:
            censored, step, onset, end = "interval", (low + high) / 2, low, high
            reason = f"a {what} by {abs(fitted.height):.3g} between the records at steps {low:g} and {high:g}"
    return Event(
        found=True,
        step=step,
        low=low,
        high=high,
        width=end - onset,
        onset=max(onset, 0.0),
        end=end,
        height=fitted.height,
        censored=censored,
        reason=with_dropped(reason, curve),
        p=p,
    )


def with_dropped(reason: str, curve: Curve) -> str:
    if not curve.num_dropped:
        return reason
    return f"{reason}; {curve.num_dropped} records without a finite value left out"


def no_event(low: float, p: float, reason: str) -> Event:
    """Right-censored: had it happened by ``low``, it would have been seen."""
    return Event(
        found=False,
        step=math.nan,
        low=low,
        high=math.inf,
        width=math.nan,
        onset=math.nan,
        end=math.nan,
        height=math.nan,
        censored="right",
        reason=reason,
        p=p,
    )
