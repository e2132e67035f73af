"""The cosine between B e and B f that is expected when B is Gaussian and e, f have cosine rho."""

import functools

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy.special import hyp2f1, poch

from epochal.core.values.errors import UserError

Array = NDArray[np.float64]

TAIL = 1e-9
MOST_TERMS = 32
NUM_NODES = 2**15 + 1  # error of the table: (pi / 2^15)^2 / 8 = 1e-9


def expected_cosine(rho: ArrayLike, d: int) -> Float[Array, "..."]:
    """E[cos(B e, B f)] for B of d independent isotropic Gaussian rows and e, f with cosine ``rho``.

    (2/d) [Gamma((d+1)/2) / Gamma(d/2)]^2 rho 2F1(1/2, 1/2; d/2 + 1; rho^2)

    Odd, increasing, from -1 at rho = -1 over 0 to 1 at rho = 1; rho itself for large d. Good to 3e-9: by its
    power series, or interpolated in arcsin(rho) where that takes many terms (d below some 15).

    Raises:
        UserError: for d < 1.

    Source: mean of an uncentred sample correlation, Anderson 2003, Multivariate Statistical Analysis, 4.2.
    """
    if d < 1:
        raise UserError(f"d={d} features: at least 1")
    given = np.clip(np.asarray(rho, dtype=np.float64), -1.0, 1.0)
    terms = coefficients(d)
    if 1 - terms.sum() > TAIL:
        return np.asarray(np.interp(np.arcsin(given), *table(d)))
    square = given * given
    value = np.full_like(given, terms[-1])
    for term in terms[-2::-1]:
        value *= square
        value += term
    value *= given
    return np.asarray(value)


@functools.lru_cache(maxsize=32)
def coefficients(d: int) -> Float[Array, " m"]:
    """Of rho, rho^3, rho^5, ...: positive, summing to 1; as many as ``TAIL`` needs, at most 32."""
    terms = [float(2 / d * poch(d / 2, 0.5) ** 2)]
    while len(terms) < MOST_TERMS and 1 - sum(terms) > TAIL:
        m = len(terms) - 1
        terms.append(terms[-1] * (m + 0.5) ** 2 / ((d / 2 + 1 + m) * (m + 1)))
    return np.array(terms)


@functools.lru_cache(maxsize=8)
def table(d: int) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
    """Nodes in arcsin(rho), where the function is smooth up to the ends, and its values there."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, NUM_NODES)
    rho = np.sin(angles)
    return angles, np.asarray(2 / d * poch(d / 2, 0.5) ** 2 * rho * hyp2f1(0.5, 0.5, d / 2 + 1, rho * rho))
