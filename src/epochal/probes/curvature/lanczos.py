"""Extreme eigenvalues of a symmetric map by Lanczos's method with full reorthogonalisation."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.precision import wide
from epochal.core.tensors.random import Key

Product = Callable[[Tensor], Tensor]
"""``v -> H v``."""


def ritz_values(
    product: Product, key: Key, size: int, iterations: int, dtype: torch.dtype
) -> Float[Tensor, " K"]:
    """Eigenvalues of H in a Krylov space of a random vector, ascending: those at the ends converge first.

    All of them, exactly, where ``iterations`` is at least ``size``: an exhausted space goes on with a fresh
    vector, so that multiple eigenvalues are found as often as they occur. No Ritz value lies outside of the
    spectrum.

    Source: Lanczos 1950; reorthogonalised twice, as Parlett 1998, section 6.9.
    """
    steps = min(iterations, size)
    basis = [_unit(random.normal(random.fold(key, 0), (size,), dtype))]
    diagonal, beside = [], []
    for step in range(steps):
        image = product(basis[-1])
        exact = wide(image.device)
        diagonal.append((basis[-1].to(exact) * image.to(exact)).sum())
        length = torch.linalg.vector_norm(image)
        rest = _without(basis, image)
        left = torch.linalg.vector_norm(rest)
        is_exhausted = left <= 100 * torch.finfo(dtype).eps * length
        fresh = _without(basis, _unit(random.normal(random.fold(key, step + 1), (size,), dtype)))
        beside.append(torch.where(is_exhausted, 0.0, left.to(exact)))
        if step + 1 < steps:
            basis.append(_unit(torch.where(is_exhausted, fresh, rest)))
    off = torch.stack(beside[:-1]) if steps > 1 else diagonal[0].new_zeros(0)
    tridiagonal = torch.diag(torch.stack(diagonal)) + torch.diag(off, 1) + torch.diag(off, -1)
    is_finite = tridiagonal.isfinite().all()
    found: Tensor = torch.linalg.eigvalsh(torch.where(is_finite, tridiagonal, 0.0))
    return torch.where(is_finite, found, torch.nan)


def _without(basis: list[Tensor], vector: Tensor) -> Tensor:
    for _ in range(2):
        for known in basis:
            vector = vector - (known * vector).sum() * known
    return vector


def _unit(vector: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(vector)
    return vector / torch.where(length == 0, 1.0, length)
