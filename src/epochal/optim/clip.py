"""Clipping of each member's gradient by its global norm."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.transform import Context, State


@dataclass(frozen=True)
class Clip:
    """``g min(1, c / (|g| + 1e-6))`` with c = ``gradient_clip``; c = 0 leaves a member's gradient alone.

    Source: Pascanu, Mikolov & Bengio 2013, with the 1e-6 of ``torch.nn.utils.clip_grad_norm_``.
    """

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        largest = context.fields["gradient_clip"].to(delta.dtype)
        norm = torch.linalg.vector_norm(delta, dim=1, keepdim=True)
        factor = torch.where(largest > 0, (largest / (norm + 1e-6)).clamp(max=1.0), 1.0)
        return delta.mul_(factor), state
