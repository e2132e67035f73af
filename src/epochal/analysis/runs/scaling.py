"""How event times scale: the exponent k of T ~ x^k, from times of which some are censored."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize
from scipy.special import log_ndtr
from scipy.stats import t as student

from epochal.analysis.runs.paired_times import Times, as_times
from epochal.core.values.errors import UserError

MIN_EVENTS = 4
MIN_SEEDS = 3


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """T = exp(intercept) x^exponent times log-normal noise of ``log_sd``; the interval is the exponent's."""

    exponent: float
    low: float
    high: float
    level: float
    intercept: float
    log_sd: float
    num_runs: int
    num_events: int
    num_seeds: int | None = None
    """What the interval counts as independent, where seeds were given."""


def scaling_exponent(
    x: ArrayLike,
    times: ArrayLike | Times,
    *,
    followed: ArrayLike | None = None,
    seeds: ArrayLike | None = None,
    level: float = 0.95,
) -> Scaling:
    """Exponent of a scaling law by maximum likelihood, with a profile interval.

    log T = c + k log x + s e,   e standard normal

    * ``x`` ``[S]`` above 0; ``times`` ``[S]`` steps above 0, NaN where it had not happened by ``followed``;
      or ``[S, 2]`` of (low, high), infinite high being right-censored at low, low 0 left-censored.
    * ``followed``: the last step each run was observed at, one number or ``[S]``; needed for NaN.

    Least squares on the runs that had the event would bend the law: slow runs are those that are missing. The
    interval holds the k with 2 (l_max - l(k)) <= N log(1 + t^2 / (N - 2)), t being Student's quantile with N
    - 2 degrees of freedom and N the number of runs with an event: without censoring, exactly the t interval
    of least squares; the usual chi-squared is too short for few runs. Runs are then taken as independent: a
    sweep that trains the same seeds at each x has to name them.

    * ``seeds`` ``[S]``: a label per run. The interval is then k +- t sd(k_g) / sqrt(G) over the G seeds, with
      G - 1 degrees of freedom and k_g = G k - (G - 1) k without seed g. In a full sweep without censoring k_g
      is the slope of seed g alone, so whatever a seed shifts or tilts is in the interval; taking such runs as
      independent gives intervals twice too long where seeds only shift
      (bench/results/calibration-censored.md), and too short where little but their exponents differs:
      below .8 of .95 with exponents of sd .3 and 5 seeds.

    Under no effect k is 0.

    Raises:
        UserError: fewer than four events, events at one x only, x or times that are not positive, a perfect
        fit; fewer than three seeds, or a seed without which no exponent can be had.

    Sources: interval-censored accelerated failure times, Klein & Moeschberger 2003, ch. 12; jackknife over
    clusters, Lipsitz, Dear & Zhao 1994, Biometrics 50, 842-846.
    """
    if not 0 < level < 1:
        raise UserError(f"level={level} is outside (0, 1): 0.95 is the usual interval")
    log_x, low, high = as_logs(x, times, followed)
    labels = None if seeds is None else as_seeds(seeds, len(log_x))
    happened = np.isfinite(high)
    num_events = int(happened.sum())
    if num_events < MIN_EVENTS:
        raise UserError(f"{num_events} events are too few for an exponent: at least {MIN_EVENTS}, better 10")
    if np.ptp(log_x[happened]) == 0:
        raise UserError("the event happened at one value of x only: an exponent needs it at two or more")
    fit = fit_line(log_x, low, high, None)
    if labels is None:
        ends = profile_interval(fit, log_x, low, high, level)
    else:
        ends = seed_interval(fit, log_x, low, high, labels, level)
    return Scaling(
        exponent=fit.slope,
        low=ends[0],
        high=ends[1],
        level=level,
        intercept=fit.intercept,
        log_sd=math.exp(fit.log_scale),
        num_runs=len(log_x),
        num_events=num_events,
        num_seeds=None if labels is None else len(np.unique(labels)),
    )


@dataclass(frozen=True, kw_only=True)
class Line:
    """A fitted line in log x and log time."""

    intercept: float
    slope: float
    log_scale: float
    loglik: float


def profile_interval(
    fit: Line, log_x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], level: float
) -> tuple[float, float]:
    happened = np.isfinite(high)
    num_events = int(happened.sum())
    allowed = num_events * math.log1p(student.ppf((1 + level) / 2, num_events - 2) ** 2 / (num_events - 2))

    def excess(k: float) -> float:
        held = fit_line(log_x, low, high, k, (fit.intercept, fit.slope, fit.log_scale))
        return 2 * (fit.loglik - held.loglik) - allowed

    step = math.exp(fit.log_scale) / float(np.std(log_x[happened]))
    return edge(excess, fit.slope, -step), edge(excess, fit.slope, step)


def seed_interval(
    fit: Line,
    log_x: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    labels: NDArray[np.int64],
    level: float,
) -> tuple[float, float]:
    """By leaving out one seed at a time."""
    count = int(labels.max()) + 1
    alone = []
    for number in range(count):
        kept = labels != number
        if len(np.unique(log_x[kept & np.isfinite(high)])) < 2:
            raise UserError(
                "without one of the seeds the event happened at one value of x only: add seeds or values of x"
            )
        without = fit_line(log_x[kept], low[kept], high[kept], None)
        alone.append(count * fit.slope - (count - 1) * without.slope)
    half = float(student.ppf((1 + level) / 2, count - 1)) * float(np.std(alone, ddof=1)) / math.sqrt(count)
    return fit.slope - half, fit.slope + half


def as_seeds(seeds: ArrayLike, num_runs: int) -> NDArray[np.int64]:
    given = np.asarray(seeds)
    if given.shape != (num_runs,):
        raise UserError(f"seeds has shape {list(given.shape)}: give one label for each of {num_runs} runs")
    numbers = np.unique(given, return_inverse=True)[1].astype(np.int64)
    if (count := int(numbers.max()) + 1) < MIN_SEEDS:
        raise UserError(f"{count} seeds are too few for an interval: at least {MIN_SEEDS}, better 10")
    return numbers


def fit_line(
    x: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    slope: float | None,
    start: tuple[float, float, float] | None = None,
) -> Line:
    """Maximum likelihood, with the slope held where one is given."""
    if start is None:
        start = least_squares(x, low, high)
    middle = float(x.mean())  # centred: intercept and slope are then nearly independent

    def unpack(free: NDArray[np.float64]) -> tuple[float, float, float]:
        held = slope is not None
        return (
            float(free[0]),
            (float(slope) if slope is not None else float(free[1])),
            float(free[1 if held else 2]),
        )

    def cost(free: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        level, k, log_scale = unpack(free)
        value, d_mean, d_scale = loglik(level + k * (x - middle), log_scale, low, high)
        gradient = [d_mean.sum()] + ([] if slope is not None else [(d_mean * (x - middle)).sum()]) + [d_scale]
        return -value, -np.array(gradient)

    at = start[0] + start[1] * middle
    first = [at, start[2]] if slope is not None else [at, start[1], start[2]]
    best = minimize(cost, first, jac=True, method="BFGS", options={"gtol": 1e-6})
    level, k, log_scale = unpack(best.x)
    return Line(intercept=level - k * middle, slope=k, log_scale=log_scale, loglik=-float(best.fun))


def loglik(
    mean: NDArray[np.float64], log_scale: float, low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], float]:
    """Sum over runs, its derivative by each mean, and by the log of the scale."""
    scale = math.exp(log_scale)
    a, b = (low - mean) / scale, (high - mean) / scale
    point = low == high
    value = np.empty(len(mean))
    by_mean, by_scale = np.empty(len(mean)), np.empty(len(mean))
    value[point] = -0.5 * a[point] ** 2 - log_scale - 0.5 * math.log(2 * math.pi)
    by_mean[point] = a[point] / scale
    by_scale[point] = a[point] ** 2 - 1
    i = ~point
    # In the upper tail differences of the distribution function vanish: mirror it.
    mirrored = a[i] > 0
    lower, upper = np.where(mirrored, -b[i], a[i]), np.where(mirrored, -a[i], b[i])
    log_upper, log_lower = log_ndtr(upper), log_ndtr(lower)
    value[i] = log_upper + np.log1p(-np.exp(np.minimum(log_lower - log_upper, -1e-300)))
    density_a, density_b = log_density(a[i]), log_density(b[i])
    ratio_a, ratio_b = np.exp(density_a - value[i]), np.exp(density_b - value[i])
    by_mean[i] = (ratio_a - ratio_b) / scale
    by_scale[i] = finite_product(a[i], ratio_a) - finite_product(b[i], ratio_b)
    return float(value.sum()), by_mean, float(by_scale.sum())


def log_density(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return -0.5 * z**2 - 0.5 * math.log(2 * math.pi)


def finite_product(z: NDArray[np.float64], ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(z), np.where(np.isfinite(z), z, 0.0) * ratio, 0.0)


def least_squares(
    x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[float, float, float]:
    """A start: censored times at their bound, intervals at their middle."""
    y = np.where(np.isfinite(high), np.where(np.isfinite(low), (low + high) / 2, high), low)
    slope, intercept = np.polyfit(x, y, 1)
    sd = float(np.std(y - slope * x - intercept))
    if sd < 1e-9 * max(1.0, float(np.ptp(y))):
        if np.all(low == high):
            raise UserError(
                "the times fit a power law exactly, which leaves no noise to judge the exponent by"
            )
        sd = float(np.mean((high - low)[np.isfinite(high - low)])) if np.isfinite(high - low).any() else 1.0
    return float(intercept), float(slope), math.log(sd)


def edge(excess: Callable[[float], float], start: float, step: float) -> float:
    """Where the profile reaches its limit, going out from the maximum."""
    out = start + step
    for _ in range(60):
        if excess(out) > 0:
            return float(brentq(excess, start, out, xtol=1e-7 * abs(step)))
        step *= 2
        out = start + step
    return math.copysign(math.inf, step)


def as_logs(
    x: ArrayLike, times: ArrayLike | Times, followed: ArrayLike | None
) -> tuple[Float[np.ndarray, "S"], Float[np.ndarray, "S"], Float[np.ndarray, "S"]]:
    where = np.asarray(x, dtype=np.float64)
    given = as_times(times, "times")
    if where.shape != (len(given),):
        raise UserError(f"x has shape {list(where.shape)}: give one value for each of {len(given)} runs")
    if not (np.isfinite(where) & (where > 0)).all():
        raise UserError("x must be finite and above 0: a power law has a logarithm")
    low, high = given.low.copy(), given.high.copy()
    if (never := ~np.isfinite(low)).any():
        if followed is None:
            raise UserError(
                f"{int(never.sum())} of {len(low)} runs have no event: give followed, the last step of each"
            )
        until = np.asarray(followed, dtype=np.float64)
        if until.shape not in ((), low.shape) or not np.isfinite(until).all() or (until <= 0).any():
            raise UserError(
                f"followed must be the last step of each of {len(low)} runs, or one number, above 0"
            )
        low[never] = np.broadcast_to(until, low.shape)[never]
    if (low < 0).any() or (high <= 0).any():
        raise UserError("times must be above 0: a power law has a logarithm")
    with np.errstate(divide="ignore"):
        return np.log(where), np.log(low), np.log(high)
