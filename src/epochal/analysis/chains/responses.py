"""How observables of a posterior respond to its data: covariances over draws of chains, with errors.

Errors are of a jackknife over groups of draws, equal parts of chains: what moves more slowly than a part is
not seen by it, so chains must have settled.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Array = NDArray[np.float64]

NUM_GROUPS = 40
"""At least, over all chains: the error itself is then known to about a ninth."""


def covariances(
    a: Float[Array, "K S N"], b: Float[Array, "K S M"], *, normalised: bool = False
) -> tuple[Float[Array, "N M"], Float[Array, "N M"]]:
    """``Cov(a_i, b_j)`` over chains and draws together, or correlations, and standard errors."""
    a, b = a - a.mean(axis=(0, 1)), b - b.mean(axis=(0, 1))

    def of(a: Array, b: Array, kept: NDArray[np.bool_]) -> Array:
        a, b = a[kept], b[kept]
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
        product = a.T @ b / (len(a) - 1)
        if normalised:
            scale = np.sqrt((a**2).sum(axis=0)[:, None] * (b**2).sum(axis=0)[None]) / (len(a) - 1)
            product = np.divide(product, scale, out=np.zeros_like(product), where=scale > 0)
        return np.asarray(product)

    flat_a, flat_b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
    value = of(flat_a, flat_b, np.ones(len(flat_a), dtype=bool))
    left_out = (of(flat_a, flat_b, kept) for kept in without_each_group(*a.shape[:2]))
    return value, jackknife(left_out, value.shape)


def susceptibilities(
    loss: Float[Array, "K S"],
    each: Float[Array, "K S N"],
    full_loss: Float[Array, "K S"],
    full_each: Float[Array, "K S N"],
    baseline: float,
) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
    """``E[phi L] - E[phi l_i] - E[phi] (E_full L - E_full l_i)``, phi = L - L(w*), and standard errors.

    ``E`` is over draws in which one component moved, ``E_full`` over draws of all parameters; l_i is the loss
    of an example, L of all data.
    """
    phi = (loss - baseline).reshape(-1)
    above = loss.reshape(-1)[:, None] - each.reshape(len(phi), -1)
    full_above = full_loss.reshape(-1)[:, None] - full_each.reshape(full_loss.size, -1)
    typical = full_above.mean(axis=0)

    def of(kept: NDArray[np.bool_]) -> Array:
        return np.asarray((phi[kept, None] * (above[kept] - typical)).mean(axis=0))

    own = jackknife((of(kept) for kept in without_each_group(*loss.shape)), typical.shape)
    means = (full_above[kept].mean(axis=0) for kept in without_each_group(*full_loss.shape))
    of_full = jackknife(means, typical.shape) * abs(phi.mean())
    return of(np.ones(len(phi), dtype=bool)), np.hypot(own, of_full)


def without_each_group(chains: int, draws: int) -> Iterator[NDArray[np.bool_]]:
    """Which of ``chains x draws`` are kept, one group left out at a time."""
    parts = min(max(1, math.ceil(NUM_GROUPS / chains)), draws)
    edges = np.linspace(0, draws, parts + 1).astype(int)
    for chain in range(chains):
        for start, end in itertools.pairwise(edges):
            kept = np.ones((chains, draws), dtype=bool)
            kept[chain, start:end] = False
            yield kept.reshape(-1)


def jackknife(left_out: Iterator[Array], shape: tuple[int, ...]) -> Array:
    """Standard error from estimates that each leave one of equal groups out; NaN of fewer than two."""
    count, mean, squares = 0, np.zeros(shape), np.zeros(shape)
    for value in left_out:
        count += 1
        change = value - mean
        mean = mean + change / count
        squares = squares + change * (value - mean)
    if count < 2:
        return np.full(shape, math.nan)
    return np.asarray(np.sqrt(squares * (count - 1) / count))
