"""Intervals for the share of runs that have had an event, exact for few runs where nothing is censored."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.special import betaincinv


def share_interval(
    at_risk: Int[np.ndarray, "K"],
    events: Int[np.ndarray, "K"],
    ended: Int[np.ndarray, "K"],
    left: Int[np.ndarray, "K"],
    level: float,
) -> tuple[Float[np.ndarray, "K"], Float[np.ndarray, "K"]]:
    """Lower and upper bound of the share F of runs with the event, after each of K steps.

    At a step with n runs at risk, d of which have the event and c end otherwise, the mass not yet used up is
    cut by a Dirichlet(d, c, n - d - c + 1): the n + 1 gaps that n uniform times leave. The lower bound is a
    quantile of the events' mass, the upper one of that mass and of the gap up to the next run, a Beta(1,
    ``left``) share of what remains. Both are quantiles of the Beta with the first two moments.

    ``ended`` counts events and whatever rules them out (divergence); ``left``: runs known to go on beyond the
    step. Without censoring this is Clopper and Pearson's binomial interval, so coverage is at least
    ``level``; with no end but the event it is that of Fay, Brittain & Proschan 2013, Biostatistics 14,
    723-736, by moments; the Dirichlet is ours. Under no event so far the bounds are 0 and what so many runs
    cannot exclude.
    """
    tail = (1 - level) / 2
    low, high = np.zeros(len(at_risk)), np.ones(len(at_risk))
    # Moments of the events' mass F and of the mass R that remains.
    f, ff, r, rr, fr = 0.0, 0.0, 1.0, 1.0, 0.0
    for k in range(len(at_risk)):
        total = float(at_risk[k] + 1)
        d, stay = float(events[k]), float(at_risk[k] - ended[k] + 1)
        e1, s1 = d / total, stay / total
        e2, s2, es = (x / (total * (total + 1)) for x in (d * (d + 1), stay * (stay + 1), d * stay))
        f, ff, fr = f + r * e1, ff + 2 * fr * e1 + rr * e2, fr * s1 + rr * es
        r, rr = r * s1, rr * s2
        low[k] = quantile(tail, f, ff)
        gap, gap2 = 1 / (left[k] + 1), 2 / ((left[k] + 1) * (left[k] + 2))
        high[k] = quantile(1 - tail, f + r * gap, ff + 2 * fr * gap + rr * gap2)
    # A share does not fall: what an earlier step excludes stays excluded below; above, runs only get fewer.
    return np.maximum.accumulate(low), high


def quantile(probability: float, mean: float, square: float) -> float:
    """Of the Beta distribution with these moments; a constant where it has no spread."""
    variance = square - mean**2
    if mean <= 0 or mean >= 1 or variance <= 1e-15:
        return min(max(mean, 0.0), 1.0)
    size = mean * (1 - mean) / variance - 1
    return float(betaincinv(mean * size, (1 - mean) * size, probability))


def runs_left(
    step: NDArray[np.float64], duration: NDArray[np.float64], status: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Runs known to go on beyond each step; at the very last one, those that were watched through it."""
    last = float(duration.max())
    beyond = [np.sum(duration > t) if t < last else np.sum((duration == last) & (status == 0)) for t in step]
    return np.array(beyond, dtype=np.int64)
