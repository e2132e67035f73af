"""Curvature of a loss at a point: top eigenvalues by Lanczos, the trace by Hutchinson."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random

Gradient = Callable[[Float[Tensor, "1 P"]], Float[Tensor, "1 P"]]


def hessian_product(gradient: Gradient, flat: Float[Tensor, " P"]) -> Callable[[Tensor], Tensor]:
    """``v -> H v`` by central differences of the gradient, which every module allows.

    Exact to about the root of the machine's precision where the loss is smooth: enough to choose a step. The
    difference reaches 1e-3 of the length of the parameters (float32), or 1e-5 (float64).
    """
    reach = (1e-3 if flat.dtype == torch.float32 else 1e-5) * max(float(flat.norm()), 1.0)

    def product(v: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
        length = v.norm()
        way = v / length * reach
        ahead, behind = gradient((flat + way)[None])[0], gradient((flat - way)[None])[0]
        image: Tensor = (ahead - behind) / (2 * reach) * length
        return image

    return product


def lanczos(
    product: Callable[[Tensor], Tensor], size: int, *, steps: int, key: Tensor, like: Tensor
) -> Float[Tensor, " K"]:
    """Ritz values in falling order: the outer ones are eigenvalues, to the accuracy of ``product``.

    Re-orthogonalised in full, which for a few dozen steps costs less than one product.
    """
    steps = min(steps, size)
    vector = random.normal(key, (size,), torch.float64).to(like)
    basis = [vector / vector.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(steps):
        image = product(basis[-1])
        diagonal.append(float(image @ basis[-1]))
        stacked = torch.stack(basis)
        for _ in range(2):
            image = image - stacked.T @ (stacked @ image)
        length = float(image.norm())
        if len(diagonal) == steps or length <= 1e-10 * max(abs(value) for value in diagonal):
            break
        beside.append(length)
        basis.append(image / length)
    off = torch.tensor(beside[: len(diagonal) - 1], dtype=torch.float64)
    matrix = (
        torch.diag(torch.tensor(diagonal, dtype=torch.float64)) + torch.diag(off, 1) + torch.diag(off, -1)
    )
    values: Tensor = torch.linalg.eigvalsh(matrix)
    return values.flip(0)


def hutchinson(
    product: Callable[[Tensor], Tensor], size: int, *, draws: int, key: Tensor, like: Tensor
) -> float:
    """The trace, as the mean of ``v H v`` over random signs v."""
    total = 0.0
    for draw in range(draws):
        signs = random.bernoulli(random.fold(key, draw), (size,), 0.5).to(like) * 2 - 1
        total += float(signs @ product(signs)) / draws
    return total
