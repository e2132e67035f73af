"""Errors and gradients as unit vectors, and what cannot be one."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from epochal.core.values.errors import UserError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Directions:
    """Unit errors and unit gradients of the n samples that have both; how many of all lack one."""

    errors: Float[Array, "n C"]
    gradients: Float[Array, "n d"]
    num_zero_errors: int
    num_zero_gradients: int

    def __len__(self) -> int:
        return len(self.errors)


def directions(errors: ArrayLike, gradients: ArrayLike) -> Directions:
    """A sample whose error or gradient is exactly zero has no cosine and is left out and counted.

    No constant is added to any norm: gradients of 1e-300 have a direction as good as others.

    Raises:
        UserError: for other shapes than [n, C] and [n, d], or numbers that are not finite.
    """
    e, g = as_matrix(errors, "errors", "[n, C]"), as_matrix(gradients, "gradients", "[n, d]")
    if len(e) != len(g):
        raise UserError(
            f"errors has {len(e)} samples and gradients has {len(g)}: give the same samples to both"
        )
    units_e, units_g = unit_rows(e), unit_rows(g)
    has_e, has_g = units_e.any(axis=1), units_g.any(axis=1)
    both = has_e & has_g
    return Directions(
        errors=units_e if both.all() else units_e[both],
        gradients=units_g if both.all() else units_g[both],
        num_zero_errors=int(np.sum(~has_e)),
        num_zero_gradients=int(np.sum(~has_g)),
    )


def as_matrix(given: ArrayLike, name: str, shape: str) -> Float[Array, "n k"]:
    matrix = np.asarray(given, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size:
        raise UserError(f"{name} has shape {list(matrix.shape)}: give {shape}, none of them 0")
    if bad := int(np.sum(~np.isfinite(matrix))):
        raise UserError(f"{name} has {bad} numbers that are not finite: leave a diverged network out")
    return matrix


def unit_rows(matrix: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """Rows of length 1; a zero row stays zero."""
    # By the largest entry first, since squares of what is below 1e-162 are zero.
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    scaled = matrix / np.where(largest > 0, largest, 1.0)
    length = np.sqrt(np.einsum("nk,nk->n", scaled, scaled))[:, None]
    return np.asarray(scaled / np.where(length > 0, length, 1.0))


def cosines(credit: Float[Array, "n d"], gradients: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Per sample, between credit and unit gradient; NaN where the credit or the gradient is zero."""
    units = unit_rows(credit)
    cosine = np.einsum("nd,nd->n", units, gradients)
    return np.where(units.any(axis=1) & gradients.any(axis=1), cosine, np.nan)
