"""How often a test would decide with so many runs like those at hand: they are drawn again and again."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.stats import binom
from scipy.stats import t as student

from epochal.analysis.runs.centre import rank_sum_tail
from epochal.analysis.runs.coupling_power import runs_needed

NUM_DRAWS = 500
# Of samples [K, n, ...] of n runs each: one p per sample.
Test = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def runs_to_decide(
    runs: Float[np.ndarray, "S ..."], test: Test, *, alpha: float, power: float | None, seed: int
) -> int | None:
    """Runs with which ``test`` gives p <= ``alpha`` with ``power``, if all are like these; None if none do.

    A promise of a few runs is worth what they are: five runs that agree promise that all will.
    """
    if power is None:
        return None

    def power_of(size: int) -> float:
        generator = np.random.Generator(np.random.PCG64([seed, size]))
        drawn = runs[generator.integers(0, len(runs), (NUM_DRAWS, size))]
        return float(np.mean(test(drawn) <= alpha))

    return runs_needed(power_of, power)


def within_by_signs(lags: Float[np.ndarray, "K S"], margin: float) -> Float[np.ndarray, "K"]:
    """p of two one-sided sign tests that the median lies within the margin."""
    count = np.minimum(np.sum(lags < margin, axis=1), np.sum(lags > -margin, axis=1))
    return np.asarray(binom.sf(count - 1, lags.shape[1], 0.5))


def within_by_ranks(lags: Float[np.ndarray, "K S"], margin: float) -> Float[np.ndarray, "K"]:
    """p of two one-sided signed-rank tests; infinite lags have the largest ranks."""
    tail = rank_sum_tail(lags.shape[1])
    worst = np.zeros(len(lags))
    for beyond in (lags - margin, -lags - margin):
        rank = np.argsort(np.argsort(np.abs(beyond), axis=1), axis=1) + 1
        worst = np.maximum(worst, tail[np.sum(np.where(beyond >= 0, rank, 0), axis=1)])
    return np.asarray(worst)


def all_by_signs(holds: Float[np.ndarray, "K S H"]) -> Float[np.ndarray, "K"]:
    """The largest p of H sign tests, from 1 or 0 per run and test."""
    return np.asarray(binom.sf(holds.sum(axis=1).min(axis=1) - 1, holds.shape[1], 0.5))


def different_by_t(scores: Float[np.ndarray, "K S"]) -> Float[np.ndarray, "K"]:
    """Two-sided p of the mean, never below what so many sign flips can give."""
    size = scores.shape[1]
    spread = np.maximum(scores.std(axis=1, ddof=1), 1e-300)
    t = np.abs(scores.mean(axis=1)) / spread * math.sqrt(size)
    return np.asarray(np.maximum(2 * student.sf(t, size - 1), 2.0 ** (1 - min(size, 50))))
