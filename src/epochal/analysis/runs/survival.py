"""How many runs have had an event by each step: Kaplan-Meier, Aalen-Johansen, restricted mean.

The tests hold it against scipy and statsmodels; importing the latter would take longer than all the rest.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from epochal.analysis.runs.beta_product import runs_left, share_interval
from epochal.core.values.errors import UserError

MEAN_DRAWS = 4_000


@dataclass(frozen=True, kw_only=True)
class SurvivalCurve:
    """A step function: ``value[k]`` from ``step[k]`` on, with a pointwise interval and the runs at risk
    there; a step is where an event happened or a run was observed no further.

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
    observed at, one number or ``[S]``. The pointwise interval is the beta product's (`share_interval`):
    binomial without censoring, and true to its level from 5 runs on, also before the first event and after
    the last, where Greenwood's on log(-log S) has no width (bench/results/calibration-censored.md). A step is
    also put where runs are censored: the value stays, the interval widens. Censoring must say nothing about
    the event: a divergence does not qualify, see ``aalen_johansen``; nor does stopping after another event.

    Raises:
        UserError: for malformed times, an event after its run's last step, a level outside (0, 1).
    """
    shares = aalen_johansen(times, diverged=None, followed=followed, level=level)
    return replace(shares, value=1 - shares.value, low=1 - shares.high, high=1 - shares.low)


def aalen_johansen(
    times: ArrayLike, *, diverged: ArrayLike | None, followed: ArrayLike, level: float = 0.95
) -> SurvivalCurve:
    """The share of runs that have had the event by each step, where divergence may come first.

    F(t) = sum over event steps t_k <= t of S(t_k -) x events at t_k / runs at risk at t_k

    with S the share free of event *and* divergence. ``diverged`` ``[S]``: the step of divergence, NaN where
    there was none; one after the event does not matter. Without censoring F is the plain share of runs, with
    its binomial interval. One minus Kaplan-Meier, with divergence taken as censoring, would be the share in a
    world where nothing diverges. Intervals as for ``kaplan_meier``.

    Raises:
        UserError: as ``kaplan_meier``.
    """
    check_interval_level(level)
    duration, status = observed(times, diverged, followed)
    # From step 0 on: before anything happened so many runs say something too.
    step = np.unique(np.concatenate([[0.0], duration[(status > 0) | (duration < duration.max())]]))
    at_risk = np.array([np.sum(duration >= t) for t in step], dtype=np.int64)
    events = np.array([np.sum((duration == t) & (status == 1)) for t in step], dtype=np.int64)
    ended = np.array([np.sum((duration == t) & (status > 0)) for t in step], dtype=np.int64)
    free = np.concatenate([[1.0], np.cumprod(1 - ended / at_risk)[:-1]])
    share = np.cumsum(free * events / at_risk)
    share = np.where(share > 1 - 1e-12, 1.0, share)  # all had it: the sum is 1 up to rounding
    low, high = share_interval(at_risk, events, ended, runs_left(step, duration, status), level)
    return SurvivalCurve(
        step=step,
        value=share,
        low=np.minimum(low, share),
        high=np.maximum(high, share),
        at_risk=at_risk,
        level=level,
    )


def restricted_mean(
    times: ArrayLike, *, followed: ArrayLike, horizon: float, level: float = 0.95
) -> RestrictedMean:
    """Mean time to the event or to ``horizon``, whichever is first: the area under Kaplan-Meier up to there.

    Unlike a mean of the runs that had the event it does not condition on success. Where every run was
    observed to its event or the horizon: variance by Greenwood with the factor D / (D - 1) for D events, and
    Student's t with D - 1 degrees of freedom; with all events before the horizon this is the t interval of
    the mean; below two events it is [0, horizon]. Where runs were lost before, that interval is
    longer and yet covers less (.94 against .96 for 5 exponential times), so it is then Gaffke's, which knows
    nothing but that times lie in [0, horizon] (`mean_bounds`). Fix the horizon beforehand: one that is taken
    because the runs at hand allow it selects early events, and then intervals cover .90.

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
    if bool(np.any((duration < horizon) & (status == 0))):
        low, high = mean_bounds(duration, status, float(horizon), level)
        low, high = min(low, mean), max(high, mean)
    elif num_events > 1:
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


def mean_bounds(
    duration: NDArray[np.float64], status: NDArray[np.int64], horizon: float, level: float
) -> tuple[float, float]:
    """Quantiles of the areas under random survival curves that the events leave possible.

    Each event of n runs at risk takes a Beta(1, n) share of what remains, and nobody knows where between the
    event before it and itself: above, the share is taken late; below, early, with one share more at the end,
    that of the run to come. 4,000 curves from fixed random numbers.

    Source: Gaffke 2005, Three test statistics for a nonparametric one-sided hypothesis on the mean of a
    nonnegative variable, Math. Methods of Statistics 14, 451-467; with censoring, by the gaps of
    ``share_interval``.
    """
    step = np.sort(duration[(status == 1) & (duration < horizon)])
    # Tied events leave one after another.
    at_risk = np.array([np.sum(duration >= t) for t in step]) - (
        np.arange(len(step)) - np.searchsorted(step, step)
    )
    beyond = int(np.sum(duration >= horizon))
    generator = np.random.Generator(np.random.PCG64(0))
    remains = [np.ones(MEAN_DRAWS)]
    for count in [*at_risk, beyond]:
        remains.append(remains[-1] * (generator.beta(count, 1, MEAN_DRAWS) if count else 0.0))
    width = np.diff(np.concatenate([[0.0], step, [horizon]]))
    curves = np.array(remains)
    low, high = (
        float(np.quantile(width @ part, at))
        for part, at in ((curves[1:], (1 - level) / 2), (curves[:-1], (1 + level) / 2))
    )
    return low, high


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


def check_interval_level(level: float) -> None:
    if not 0 < level < 1:
        raise UserError(f"level={level} is outside (0, 1): 0.95 is the usual interval")
