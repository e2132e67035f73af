"""Mean cosine between the credit B e and the true gradient, against feedback that training never saw."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from epochal.analysis.nulls.directions import Directions, as_matrix, cosines, directions
from epochal.analysis.nulls.enough import check_draws
from epochal.analysis.nulls.fresh import fresh_statistics
from epochal.analysis.nulls.rules import check_fresh
from epochal.analysis.nulls.variance import exact_variance, moment
from epochal.core.values.errors import UserError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class CreditNull:
    """A mean cosine and its null.

    ``statistic`` T in [-1, 1], 0 under no effect; ``null_mean`` (0 for fresh feedback) and ``null_sd`` of T;
    ``z`` = (T - mean) / sd; ``p`` by Monte Carlo, two-sided, at least 1 / (draws + 1).
    ``isometric_reference`` = ||M||_* with M = G^T E / n of unit rows: the largest T of an isometric B, though
    others can have more. ``leading_variance`` = ||M||_F^2 / d = 1 / (d n_eff): that of ``n_eff`` independent
    samples. These three are None where the credit is not B e. Over ``num_samples``; those with a zero error,
    gradient or credit have no cosine and are counted; NaN where no sample has one. ``null_statistics``
    ``[K]`` if asked for.
    """

    statistic: float
    null_mean: float
    null_sd: float
    z: float
    p: float
    isometric_reference: float | None
    n_eff: float | None
    leading_variance: float | None
    num_samples: int
    num_zero_errors: int
    num_zero_gradients: int
    num_zero_credits: int
    draws: int
    null_statistics: Float[Array, " K"] | None


def credit_cosine(
    errors: ArrayLike,
    gradients: ArrayLike,
    feedback: ArrayLike,
    *,
    draws: int = 999,
    seed: int = 0,
    alpha: float = 0.05,
    num_tests: int = 1,
    rule: str = "dfa",
    keep_draws: bool = False,
) -> CreditNull:
    """Whether the credit B e follows the gradient more than it would with another random B.

    T = mean_i cos(B e_i, g_i)

    * ``errors`` ``[n, C]``: of the output, per sample, in any unit of length.
    * ``gradients`` ``[n, d]``: of the loss by the site, per sample, best sum-reduced in float64.
    * ``feedback`` ``[d, C]``: the B of training.
    * ``alpha``, ``num_tests``: the level and how many tests share it (Bonferroni): the draws must allow it.

    Under the null that B is independent of errors and gradients, fresh B are exchangeable with it, so
    p = (1 + #{|T_k| >= |T|}) / (K + 1) is exact for Gaussian B. ``null_sd`` is exact (``null_variance``) and
    needs no draws. A small p says that the network adapted to *this* B, not that its credit is useful: look
    at T too, and at ``isometric_reference``. A z-test over samples is none: they share one B.

    80% power needs |T| of about 2.8 ``null_sd``, whatever n. One network is one seed: see ``across_seeds``.

    Raises:
        UserError: shapes that do not fit, numbers that are not finite, B = 0, too few draws for the level, a
            rule with another null or none.

    Source: Phipson & Smyth 2010, SAGMB 9, 39 (the +1).
    """
    check_fresh(rule)
    check_draws(draws, alpha, num_tests)
    known = directions(errors, gradients)
    matrix = as_feedback(feedback, known)
    null = fresh_statistics([known], draws=draws, seed=seed)[:, 0]
    return against(known, matrix, null, keep_draws=keep_draws)


def against(
    known: Directions, feedback: Float[Array, "d C"], null: Float[Array, " K"], *, keep_draws: bool
) -> CreditNull:
    """The statistic of ``feedback`` beside draws of it and its closed form."""
    cosine = cosines(known.errors @ feedback.T, known.gradients)
    at = np.isfinite(cosine)
    statistic = float(cosine[at].mean()) if at.any() else math.nan
    null_sd = math.sqrt(exact_variance(known))
    aligned = moment(known)
    frobenius = float(np.sum(aligned**2))
    reference = float(np.linalg.svd(aligned, compute_uv=False).sum()) if len(known) else math.nan
    return CreditNull(
        statistic=statistic,
        null_mean=0.0,
        null_sd=null_sd,
        z=statistic / null_sd if null_sd > 0 else math.nan,
        p=two_sided(statistic, null),
        isometric_reference=reference,
        n_eff=1 / frobenius if frobenius > 0 else math.nan,
        leading_variance=frobenius / len(aligned),
        num_samples=int(at.sum()),
        num_zero_errors=known.num_zero_errors,
        num_zero_gradients=known.num_zero_gradients,
        num_zero_credits=int(np.sum(~at)),
        draws=len(null),
        null_statistics=null if keep_draws else None,
    )


def two_sided(statistic: float, null: Float[Array, " K"]) -> float:
    """(1 + #{|T_k| >= |T|}) / (K + 1); what ties up to rounding counts."""
    if math.isnan(statistic):
        return math.nan
    return (1 + int(np.sum(np.abs(null) >= abs(statistic) - 1e-12))) / (len(null) + 1)


def as_feedback(feedback: ArrayLike, known: Directions, name: str = "feedback") -> Float[Array, "d C"]:
    matrix = as_matrix(feedback, name, "[d, C]")
    expected = (known.gradients.shape[1], known.errors.shape[1])
    if matrix.shape != expected:
        remedy = ": give its transpose" if matrix.T.shape == expected else ""
        raise UserError(
            f"{name} has shape {list(matrix.shape)}, but gradients [n, {expected[0]}] and errors "
            f"[n, {expected[1]}] ask for {list(expected)}{remedy}"
        )
    if not matrix.any():
        raise UserError(f"{name} is zero everywhere: its credit has no direction")
    return matrix
