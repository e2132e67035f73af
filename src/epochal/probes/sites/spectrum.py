"""Over how many directions a matrix spreads: four numbers of its singular values."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

RANKME_EPSILON = 1e-7


def singular_values(matrix: Float[Tensor, "N D"]) -> Float[Tensor, " K"]:
    """Over the largest entry's size, which no ratio sees; NaN where an entry is not finite."""
    size = matrix.abs().amax()
    is_finite = size.isfinite()
    scale = torch.where(is_finite & (size > 0), size, 1.0)
    scaled = torch.where(is_finite, matrix / scale, 0.0)
    singular = torch.linalg.svdvals(scaled)  # a Gram matrix would lose half the digits of small ones
    return torch.where(is_finite, singular, math.nan)


def effective_rank(singular: Float[Tensor, " K"]) -> Float[Tensor, ""]:
    """``exp(-sum p log p)`` of ``p = s / sum s``; 0 where all are 0. Roy & Vetterli 2007."""
    shares = _over(singular, singular.sum())
    return _or_zero(singular, torch.special.xlogy(shares, shares).sum().neg().exp())


def rankme(singular: Float[Tensor, " K"]) -> Float[Tensor, ""]:
    """The same with ``p = s / sum s + 1e-7``, as in RankMe (Garrido et al. 2023, equation 1).

    A little larger, by the K values that are 0.
    """
    shares = _over(singular, singular.sum()) + RANKME_EPSILON
    return _or_zero(singular, torch.special.xlogy(shares, shares).sum().neg().exp())


def stable_rank(singular: Float[Tensor, " K"]) -> Float[Tensor, ""]:
    """``sum s^2 / max s^2``, squared Frobenius over squared spectral norm. Rudelson & Vershynin 2007."""
    return _over(singular.square().sum(), singular.amax().square())


def participation_ratio(singular: Float[Tensor, " K"]) -> Float[Tensor, ""]:
    """``(sum s^2)^2 / sum s^4``: of the eigenvalues ``s^2`` of the second moments. Gao et al. 2017.

    Theirs are centred, hence of the covariance.
    """
    return _over(singular.square().sum().square(), singular.pow(4).sum())


def _over(part: Tensor, whole: Tensor) -> Tensor:
    return part / torch.where(whole == 0, 1.0, whole)


def _or_zero(singular: Tensor, rank: Tensor) -> Tensor:
    return torch.where((singular == 0).all(), 0.0, rank)
