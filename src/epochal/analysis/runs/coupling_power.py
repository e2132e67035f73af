"""How often a coupling would be seen with so many runs, and how many runs are needed."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.stats import norm

from epochal.core.values.errors import UserError

NUM_DRAWS = 400
SIZES = (4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 25, 30, 35, 40, 50, 60, 80, 100, 150, 200)
STRONGEST = 0.99  # correlation; a tau of 1 in few runs is no promise of 1


def coupling_power(
    tau: float,
    num_runs: int,
    *,
    censored_a: float = 0.0,
    censored_b: float = 0.0,
    num_strata: int = 1,
    alpha: float = 0.05,
    seed: int = 0,
    num_draws: int = NUM_DRAWS,
) -> float:
    """Probability that the one-sided ``coupling`` test of ``num_runs`` runs gives p <= ``alpha``; simulated.

    Times are normal with correlation sin(pi tau / 2), at most .99, the latest ``censored_*`` fraction of each
    arm at infinity, runs shared evenly by ``num_strata``. The p-values are those of Kendall's S with
    continuity correction, variance corrected for ties (Kendall 1970, Rank Correlation Methods, 4.9; it
    rejects where enumeration does for 4 to 10 untied runs). Under no effect (tau = 0) the power is at most
    alpha. 400 draws: standard error at most .025.

    Raises:
        UserError: for tau outside [-1, 1], fractions outside [0, 1), fewer than two runs per stratum.
    """
    if not -1 <= tau <= 1:
        raise UserError(f"tau={tau} is outside [-1, 1]")
    if not (0 <= censored_a < 1 and 0 <= censored_b < 1):
        raise UserError(f"censored_a={censored_a}, censored_b={censored_b} must be fractions in [0, 1)")
    if num_strata < 1 or num_runs < 2 * num_strata:
        raise UserError(f"{num_runs} runs in {num_strata} strata: at least two runs in each are needed")
    generator = np.random.Generator(np.random.PCG64([seed, num_runs]))
    rho = max(-STRONGEST, min(STRONGEST, math.sin(math.pi * tau / 2)))
    total, variance = np.zeros(num_draws), 0.0
    for stratum in range(num_strata):
        size = num_runs // num_strata + (stratum < num_runs % num_strata)
        a = generator.standard_normal((num_draws, size))
        b = rho * a + math.sqrt(1 - rho**2) * generator.standard_normal((num_draws, size))
        late_a, late_b = round(censored_a * size), round(censored_b * size)
        total += kendall_s(at_infinity(a, late_a), at_infinity(b, late_b))
        variance += kendall_variance(size, [late_a], [late_b])
    if variance <= 0:
        return 0.0
    return float(np.mean((total - 1) / math.sqrt(variance) >= norm.isf(alpha)))


def runs_needed(power_of: Callable[[int], float], target: float, sizes: Sequence[int] = SIZES) -> int | None:
    """The smallest of ``sizes`` whose power reaches ``target``; None if none does."""
    return next((size for size in sizes if power_of(size) >= target), None)


def at_infinity(times: Float[np.ndarray, "K S"], num_late: int) -> Float[np.ndarray, "K S"]:
    if num_late:
        late = np.argsort(times, axis=1)[:, -num_late:]
        np.put_along_axis(times, late, np.inf, axis=1)
    return times


def kendall_s(a: Float[np.ndarray, "K S"], b: Float[np.ndarray, "K S"]) -> Int[np.ndarray, "K"]:
    total = np.zeros(len(a), dtype=np.int64)
    for i in range(a.shape[1] - 1):
        total += np.sum(order(a, i) * order(b, i), axis=1, dtype=np.int64)
    return total


def order(times: Float[np.ndarray, "K S"], i: int) -> NDArray[np.int8]:
    one, others = times[:, i, None], times[:, i + 1 :]
    return (one > others).astype(np.int8) - (one < others).astype(np.int8)


def kendall_variance(n: int, ties_a: Sequence[int], ties_b: Sequence[int]) -> float:
    """Of S over all pairings, given the sizes of the groups of ties."""

    def pairs(ties: Sequence[int]) -> float:
        return float(sum(t * (t - 1) for t in ties))

    def triples(ties: Sequence[int]) -> float:
        return float(sum(t * (t - 1) * (t - 2) for t in ties))

    def full(ties: Sequence[int]) -> float:
        return float(sum(t * (t - 1) * (2 * t + 5) for t in ties))

    variance = (full([n]) - full(ties_a) - full(ties_b)) / 18
    variance += pairs(ties_a) * pairs(ties_b) / (2 * n * (n - 1))
    if n > 2:
        variance += triples(ties_a) * triples(ties_b) / (9 * n * (n - 1) * (n - 2))
    return variance
