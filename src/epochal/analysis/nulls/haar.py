"""The null in which all credits are turned by one random rotation."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from epochal.analysis.nulls.credit import two_sided
from epochal.analysis.nulls.directions import as_matrix, unit_rows
from epochal.analysis.nulls.enough import check_draws
from epochal.core.values.errors import UserError

Array = NDArray[np.float64]

NUMBERS = 2**22  # per block of rotations: 32 MiB
NEGLIGIBLE = 1e-9


@dataclass(frozen=True, kw_only=True)
class HaarNull:
    """As ``CreditNull``; ``null_sd`` is exact."""

    statistic: float
    null_sd: float
    z: float
    p: float
    num_samples: int
    num_zero_credits: int
    num_zero_gradients: int
    draws: int


def haar(
    credit: ArrayLike,
    gradients: ArrayLike,
    *,
    no_shared_derivative: bool,
    draws: int = 999,
    seed: int = 0,
    alpha: float = 0.05,
    num_tests: int = 1,
) -> HaarNull:
    """Whether credits follow gradients more than they would if all were turned by a random rotation Q.

    T = mean_i cos(a_i, g_i);  T_Q = <N, Q> with N = G^T A / n ``[d, d]``;  Var[T_Q] = ||N||_F^2 / d, exactly

    for unit credits A and unit gradients G, both ``[n, d]``. It needs neither errors nor a law of B.

    **Valid only where credit and gradient share no local derivative**, which ``no_shared_derivative=True``
    states: at a residual stream or after an activation under DFA. At pre-activations both carry the
    same mask, and a 5% test rejects 32% (ReLU), 19% (tanh) or 3% (linear) under independent feedback; FA's
    credit shares the masks of all later blocks. ``redraw`` is right there.

    O(d r^2) per draw, r the rank of N: at most C for DFA.

    Raises:
        UserError: without that statement; shapes that do not fit, numbers not finite, too few draws.
    """
    if no_shared_derivative is not True:
        raise UserError(
            "haar holds only where credit and gradient share no local derivative (at pre-activations and for "
            "FA they do): state no_shared_derivative=True, or use redraw"
        )
    check_draws(draws, alpha, num_tests)
    a, g = as_matrix(credit, "credit", "[n, d]"), as_matrix(gradients, "gradients", "[n, d]")
    if a.shape != g.shape:
        raise UserError(
            f"credits have shape {list(a.shape)}, gradients {list(g.shape)}: give the same to both"
        )
    a, g = unit_rows(a), unit_rows(g)
    both = a.any(axis=1) & g.any(axis=1)
    num_samples, d = int(both.sum()), a.shape[1]
    statistic = null_sd = z = p = math.nan
    if num_samples:
        # Samples without a credit or a gradient are rows of zeros on one side: they add nothing.
        overlap = g.T @ a / num_samples
        statistic = float(np.trace(overlap))
        null_sd = float(np.linalg.norm(overlap)) / math.sqrt(d)
        z = statistic / null_sd if null_sd > 0 else math.nan
        strengths = np.linalg.svd(overlap, compute_uv=False)
        null = rotated(strengths[strengths > NEGLIGIBLE * strengths[0]], d, draws, seed)
        p = two_sided(statistic, null)
    return HaarNull(
        statistic=statistic,
        null_sd=null_sd,
        z=z,
        p=p,
        num_samples=num_samples,
        num_zero_credits=int(np.sum(~a.any(axis=1))),
        num_zero_gradients=int(np.sum(~g.any(axis=1))),
        draws=draws,
    )


def rotated(strengths: Float[Array, " r"], d: int, draws: int, seed: int) -> Float[Array, " K"]:
    """<N, Q> for Haar Q, given the singular values of N: only r columns of Q matter, and of these r rows."""
    rank = len(strengths)
    generator = np.random.Generator(np.random.PCG64([seed, 0]))
    null = np.zeros(draws)
    size = max(1, NUMBERS // max(1, d * rank))
    for first in range(0, draws if rank else 0, size):
        count = min(size, draws - first)
        q, r = np.linalg.qr(generator.standard_normal((count, d, rank)))
        # With a positive diagonal of R, Q is Haar (Mezzadri 2007, Notices AMS 54, 592-604).
        signs = np.sign(np.einsum("krr->kr", r))
        null[first : first + count] = (np.einsum("krr->kr", q[:, :rank]) * signs) @ strengths
    return null
