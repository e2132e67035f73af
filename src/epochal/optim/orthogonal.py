"""The part of the gradient that changes what a homogeneous network computes."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.transform import Context, State


@dataclass(frozen=True)
class OrthogonalGradient:
    """``h = g - (w.g / w.w) w`` per tensor, stretched to ``|g|``. Reads no field.

    Without the component along w a step cannot lower the loss by scaling the logits alone. Stands before the
    optimiser and before coupled decay, which it would remove. Where w = 0 the gradient is left alone. Where
    only rounding is left of h (|h| <= 16 eps |g|, always so for a tensor of one number) it becomes 0; the
    source stretches what is left, however small.

    Source: Prieto et al. 2025, "Grokking at the edge of numerical stability", section 5.
    """

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        smallest = 16 * torch.finfo(delta.dtype).eps
        for entry in context.layout.entries:
            g, w = delta[:, entry.slice], context.flat[:, entry.slice]
            square = (w * w).sum(1, keepdim=True)
            along = torch.where(square > 0, (w * g).sum(1, keepdim=True) / square, 0.0)
            before = torch.linalg.vector_norm(g, dim=1, keepdim=True)
            g.addcmul_(w, -along)
            after = torch.linalg.vector_norm(g, dim=1, keepdim=True)
            g.mul_(torch.where(after > smallest * before, before / after, 0.0))
        return delta, state
