"""Curvature of a network's loss on its first examples."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.probes.learning_coefficient.curvature import hessian_product, lanczos
from epochal.probes.learning_coefficient.potential import NetworkLoss

LANCZOS_STEPS = 12
CURVATURE_EXAMPLES = 4096


def largest_curvatures(
    loss: NetworkLoss, flat: Float[Tensor, " P"], seed: int, *, mask: Tensor | None = None
) -> list[float]:
    """In falling order, by Lanczos; of what moves, where a mask says so. Negative where the loss curves down
    in every direction."""
    key = random.key(seed, "curvature")
    product, _ = product_at(loss, flat, mask=mask)
    found: list[float] = lanczos(product, flat.shape[-1], steps=LANCZOS_STEPS, key=key, like=flat).tolist()
    return found


def product_at(
    loss: NetworkLoss, flat: Float[Tensor, " P"], *, mask: Tensor | None = None
) -> tuple[Callable[[Tensor], Tensor], int]:
    """``v -> H v`` on the first 4,096 examples, or all there are, and their number."""
    some = torch.arange(min(loss.size, CURVATURE_EXAMPLES), device=flat.device)[None]

    def gradient(place: Tensor) -> Tensor:
        slope = loss.slope(place, some)[1]
        return slope if mask is None else slope * mask

    return hessian_product(gradient, flat), some.shape[-1]
