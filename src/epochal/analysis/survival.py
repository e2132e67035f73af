"""How many runs have had an event by each step: Kaplan-Meier, Aalen-Johansen, restricted mean.

The tests hold it against scipy and statsmodels; importing the latter would take longer than all the rest.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from scipy.stats import t as student

from epochal.core.values.errors import UserError


@dataclass(frozen=True, kw_only=True)
class SurvivalCurve:
    """A step function: ``value[k]`` from ``step[k]`` on, with a pointwise interval and the runs at risk
    there.

    Starts at step 0. ``value`` is the share of runs without the event (Kaplan-Meier) or with it
    (Aalen-Johansen).
    """

    step: Float[np.ndarray, "K"]
    value: Float[np.ndarray, "K"]
    low: Float[np.ndarray, "K"]
    high: Float[np.ndarray, "K"]
    at_risk: Int[np.ndarray, "K"]
    level: float

    def at(self, step: float) -> float:
        """The value at a step."""
        return float(self.value[max(0, int(np.searchsorted(self.step, step, side="right")) - 1)])

    @property
    def median_step(self) -> float:
        """The first step at which half of the runs have had the event (Kaplan-Meier); NaN if never."""
        below = np.flatnonzero(self.value <= 0.5 + 1e-12)
        return float(self.step[below[0]]) if len(below) else math.nan


@dataclass(frozen=True, kw_only=True)
class RestrictedMean:
    """Mean of min(T, horizon) in steps, with an interval of ``level``."""

    mean: float
    low: float
    high: float
    horizon: float
    level: float
    num_runs: int
    num_events: int


def kaplan_meier(times: ArrayLike, *, followed: ArrayLike, level: float = 0.95) -> SurvivalCurve:
    """The share of runs in which the event has not happened yet.

    S(t) = prod over event steps t_k <= t of (1 - events at t_k / runs at risk at t_k)

    ``times`` ``[S]`` steps, NaN where the event did not happen; ``followed``: the last step each run was
    observed at, one number or ``[S]``. The interval is that of log(-log S) (Kalbfleisch & Prentice), which
    stays in [0, 1]; it is (value, 1) before the first event and from 0 up to its last bound where S is 0.
    Censoring must say nothing about the event: a divergence does not qualify, see ``aalen_johansen``; nor
    does stopping after another event.

    Raises:
        UserError: for malformed times, an event after its run's last step, a level outside (0, 1).
    """
    check_interval_level(level)
    duration, status = observed(times, None, followed)
    step = np.unique(duration[status == 1])
    at_risk = np.array([np.sum(duration >= t) for t in step], dtype=np.int64)
    events = np.array([np.sum((duration == t) & (status == 1)) for t in step], dtype=np.int64)
    survival = np.asarray(np.cumprod(1 - events / at_risk), dtype=np.float64)
    left = at_risk - events
    greenwood = np.cumsum(np.where(left > 0, events / (at_risk * np.maximum(left, 1)), 0.0))
    z = norm.ppf((1 + level) / 2)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        spread = z * np.sqrt(greenwood) / np.abs(np.log(survival))
        low = survival ** np.exp(spread)
        high = survival ** np.exp(-spread)
    inside = survival > 0
    low = np.where(inside, low, 0.0)
    high = np.where(inside, high, last_bound(high, inside))
    return from_zero(step, survival, low, high, at_risk, len(duration), 1.0, level)


def aalen_johansen(
    times: ArrayLike, *, diverged: ArrayLike, followed: ArrayLike, level: float = 0.95
) -> SurvivalCurve:
    """The share of runs that have had the event by each step, where divergence may come first.

    F(t) = sum over event steps t_k <= t of S(t_k -) x events at t_k / runs at risk at t_k

    with S the share free of event *and* divergence. ``diverged`` ``[S]``: the step of divergence, NaN where
    there was none; one after the event does not matter. Without censoring F is the plain share of runs. One
    minus Kaplan-Meier, with divergence taken as censoring, would be the share in a world where nothing
    diverges. The interval is normal on log(-log F), with a delta-method variance.

    Raises:
        UserError: as ``kaplan_meier``.
    """
    check_interval_level(level)
    duration, status = observed(times, diverged, followed)
    if not (status == 1).any():
        zero = np.zeros(1)
        return SurvivalCurve(
            step=zero,
            value=zero.copy(),
            low=zero.copy(),
            high=zero.copy(),
            at_risk=np.array([len(duration)]),
            level=level,
        )
    step = np.unique(duration[status > 0])
    at_risk = np.array([np.sum(duration >= t) for t in step])
    events = np.array([np.sum((duration == t) & (status == 1)) for t in step])
    ended = np.array([np.sum((duration == t) & (status > 0)) for t in step])
    free = np.concatenate([[1.0], np.cumprod(1 - ended / at_risk)[:-1]])
    share = np.cumsum(free * events / at_risk)
    error = np.sqrt(incidence_variance(share, free, at_risk, events, ended))
    z = norm.ppf((1 + level) / 2)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        log_share = np.log(share)
        spread = error / (share * np.abs(log_share))
        low = np.exp(log_share * np.exp(z * spread))
        high = np.exp(log_share * np.exp(-z * spread))
    inside = (share > 0) & (share < 1 - 1e-12)
    low = np.where(inside, low, np.where(share > 0, last_bound(low, inside), 0.0))
    high = np.where(inside, high, share)
    return from_zero(step, share, low, high, at_risk, len(duration), 0.0, level)


def incidence_variance(
    share: NDArray[np.float64],
    free: NDArray[np.float64],
    at_risk: NDArray[np.int64],
    events: NDArray[np.int64],
    ended: NDArray[np.int64],
) -> NDArray[np.float64]:
    """By the delta method (Marubini & Valsecchi 1995, 10.2.2); F (1 - F) / S without censoring."""
    left = at_risk - ended
    greenwood = np.where(left > 0, ended / (at_risk * np.maximum(left, 1)), 0.0)
    own = free**2 * (at_risk - events) * events / at_risk**3
    cross = free * events / at_risk**2
    variance = np.empty(len(share))
    for k in range(len(share)):
        rest = share[k] - share[: k + 1]
        variance[k] = np.sum(rest**2 * greenwood[: k + 1] + own[: k + 1] - 2 * rest * cross[: k + 1])
    return np.maximum(variance, 0.0)


def restricted_mean(
    times: ArrayLike, *, followed: ArrayLike, horizon: float, level: float = 0.95
) -> RestrictedMean:
    """Mean time to the event or to ``horizon``, whichever is first: the area under Kaplan-Meier up to there.

    Unlike a mean of the runs that had the event it does not condition on success. Variance by Greenwood with
    the factor D / (D - 1) for D events, and Student's t with D - 1 degrees of freedom: with no censoring
    before the horizon and all events before it this is the t interval of the mean. Below two events the
    interval is [0, horizon].

    Raises:
        UserError: as ``kaplan_meier``, and for a horizon after which no run was observed.

    Source: Irwin 1949; Klein & Moeschberger 2003, Survival Analysis, 4.5 (the factor is their note).
    """
    curve = kaplan_meier(times, followed=followed, level=level)
    duration, status = observed(times, None, followed)
    if not (math.isfinite(horizon) and horizon > 0 and (horizon <= duration.max() or curve.value[-1] == 0)):
        raise UserError(
            f"horizon={horizon:g} must be above 0 and at most {duration.max():g}, the last step of any run"
        )
    edges = np.append(curve.step[curve.step < horizon], horizon)
    area = np.diff(edges) * curve.value[: len(edges) - 1]
    mean = float(area.sum())
    # From each event step to the horizon.
    rest = np.cumsum(area[::-1])[::-1]
    variance, num_events = 0.0, 0
    for k, step in enumerate(edges[:-1]):
        events = int(np.sum((duration == step) & (status == 1)))
        at_risk = int(curve.at_risk[k])
        if events and at_risk > events:
            variance += rest[k] ** 2 * events / (at_risk * (at_risk - events))
        num_events += events
    low, high = 0.0, float(horizon)
    if num_events > 1:
        from_few = num_events / (num_events - 1)
        half = float(student.ppf((1 + level) / 2, num_events - 1)) * math.sqrt(variance * from_few)
        low, high = max(0.0, mean - half), min(float(horizon), mean + half)
    return RestrictedMean(
        mean=mean,
        low=low,
        high=high,
        horizon=float(horizon),
        level=level,
        num_runs=len(duration),
        num_events=num_events,
    )


def observed(
    times: ArrayLike, diverged: ArrayLike | None, followed: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Duration of each run and why it ended: 1 the event, 2 divergence, 0 the end of observation."""
    event = np.asarray(times, dtype=np.float64)
    if event.ndim != 1 or not len(event):
        raise UserError(f"times has shape {list(event.shape)}: give [S] steps, NaN where it did not happen")
    until = np.asarray(followed, dtype=np.float64)
    if until.shape not in ((), event.shape) or not np.isfinite(until).all() or (until <= 0).any():
        raise UserError(
            f"followed must be the last step of each of {len(event)} runs, or one number, above 0"
        )
    until = np.broadcast_to(until, event.shape)
    never = np.full(len(event), np.nan)
    end = never if diverged is None else np.asarray(diverged, dtype=np.float64)
    if end.shape != event.shape:
        raise UserError(
            f"diverged has shape {list(end.shape)}: give one step for each of {len(event)} runs, or NaN"
        )
    for given, name in ((event, "times"), (end, "diverged")):
        if (np.isinf(given) | (given < 0)).any():
            raise UserError(f"{name} must be steps of at least 0, NaN where it did not happen")
        if (wrong := given > until).any():
            raise UserError(
                f"{name}: run {int(np.argmax(wrong))} has step {given[wrong][0]:g}, after the last step it "
                f"was followed to, {until[wrong][0]:g}"
            )
    first = np.fmin(event, end)
    duration = np.where(np.isnan(first), until, first)
    status = np.where(np.isnan(first), 0, np.where(event == first, 1, 2))
    return duration, status.astype(np.int64)


def from_zero(
    step: NDArray[np.float64],
    value: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    at_risk: NDArray[np.int64],
    num_runs: int,
    start: float,
    level: float,
) -> SurvivalCurve:
    """With step 0 put before, unless something happened there."""
    front = [] if len(step) and step[0] == 0 else [0.0]
    whole = [start] * len(front)
    return SurvivalCurve(
        step=np.concatenate([front, step]),
        value=np.concatenate([whole, value]),
        low=np.concatenate([whole, low]),
        high=np.concatenate([whole, high]),
        at_risk=np.concatenate([[num_runs] * len(front), at_risk]).astype(np.int64),
        level=level,
    )


def last_bound(bound: NDArray[np.float64], inside: NDArray[np.bool_]) -> float:
    known = np.flatnonzero(inside)
    return float(bound[known[-1]]) if len(known) else 1.0


def check_interval_level(level: float) -> None:
    if not 0 < level < 1:
        raise UserError(f"level={level} is outside (0, 1): 0.95 is the usual interval")
