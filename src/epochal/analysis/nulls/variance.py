"""Exact variance of the mean cosine between B e and g when B is Gaussian and independent of both."""

import itertools
import math

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from epochal.analysis.nulls.directions import Directions, directions
from epochal.analysis.nulls.expected_cosine import coefficients, expected_cosine

Array = NDArray[np.float64]

ROWS, COLUMNS = 256, 2048  # of the pairs at a time: 4 MiB per array
FEW_SAMPLES = 4096
SERIES_ERROR = 1e-3  # of the variance, so half of that of the sd


def null_variance(errors: ArrayLike, gradients: ArrayLike) -> float:
    """Var of T = mean over samples of cos(B e_i, g_i), errors and gradients fixed, B Gaussian.

    Var[T] = 1/(n^2 d) sum_ij (g_i . g_j) c_d(e_i . e_j)

    for unit errors ``[n, C]`` and unit gradients ``[n, d]``; c_d is ``expected_cosine``. Its square root is
    the width of the null: E[T] = 0, and T is nearly normal (kurtosis 2.95 to 3.12 in networks). It does not
    fall with n: gradients that are isometric images of isotropic errors have 1 / (d (C - 1)) whatever n.
    NaN where no sample has both.

    Exact up to 4,096 samples, in O(n^2 (C + d)) time and constant memory. Beyond, two terms of the series of
    c_d in Gram moments where these are known to be within 0.1% of the variance, else pairs as before.

    Raises:
        UserError: as ``credit_cosine``.
    """
    return exact_variance(directions(errors, gradients))


def leading_variance(errors: ArrayLike, gradients: ArrayLike) -> float:
    """``null_variance`` for large d: ||M||_F^2 / d, M = G^T E / n ``[d, C]`` of unit rows, in O(n d C)."""
    known = directions(errors, gradients)
    return float(np.sum(moment(known) ** 2) / known.gradients.shape[1])


def moment(known: Directions) -> Float[Array, "d C"]:
    """M = G^T E / n of unit rows; NaN without samples."""
    if not len(known):
        return np.full((known.gradients.shape[1], known.errors.shape[1]), np.nan)
    return np.asarray(known.gradients.T @ known.errors / len(known))


def exact_variance(known: Directions) -> float:
    if not len(known):
        return math.nan
    if len(known) > FEW_SAMPLES and (by_series := variance_by_moments(known)) is not None:
        return by_series
    # Samples that cancel leave no variance, and rounding may leave less.
    return max(variance_by_pairs(known), 0.0)


def variance_by_pairs(known: Directions) -> float:
    e, g = known.errors, known.gradients
    n, d = g.shape
    total = 0.0
    for top in range(0, n, ROWS):
        below = slice(top, top + ROWS)
        for left in range(top, n, COLUMNS):
            columns = slice(left, left + COLUMNS)
            products = expected_cosine(e[below] @ e[columns].T, d)
            products *= g[below] @ g[columns].T
            # Pairs to the right of the square on the diagonal stand for their mirror images too.
            square = products[:, :ROWS].sum() if left == top else 0.0
            total += 2 * float(products.sum()) - float(square)
    return float(total / (n * n * d))


def variance_by_moments(known: Directions) -> float | None:
    """Terms in rho and rho^3, or None where the rest, at most what is left of the series at 1, may matter.

    sum_ij (g_i . g_j) (e_i . e_j)^3 = || sum_i g_i (x) e_i (x) e_i (x) e_i ||^2, over monomials of degree 3.
    """
    n, d = known.gradients.shape
    num_classes = known.errors.shape[1]
    if d * math.comb(num_classes + 2, 3) > n * (d + num_classes):
        return None  # as many operations as pairs, or more
    terms = coefficients(d)[:2]
    first = terms[0] * float(np.sum(moment(known) ** 2))
    left = 1 - float(terms.sum())
    if left > SERIES_ERROR * first:
        return None
    triples = list(itertools.combinations_with_replacement(range(num_classes), 3))
    orderings = [math.sqrt({1: 1, 2: 3, 3: 6}[len(set(triple))]) for triple in triples]
    i, j, k = np.array(triples).T
    third = np.zeros((d, len(triples)))
    rows = max(1, 2**20 // len(triples))
    for start in range(0, n, rows):
        e = known.errors[start : start + rows]
        third += known.gradients[start : start + rows].T @ (e[:, i] * e[:, j] * e[:, k] * orderings)
    return float((first + terms[1] * np.sum((third / n) ** 2)) / d)
