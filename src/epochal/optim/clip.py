"""Clipping of each member's gradient by its norm."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.transform import Context, State
from epochal.optim.scope import Scope, groups, norms


@dataclass(frozen=True)
class Clip:
    """``g min(1, c / (|g| + 1e-6))``, c = ``gradient_clip``. Reads ``gradient_clip``.

    c = 0 leaves a member's gradient alone. ``scope`` says whose norm is meant: the whole gradient's, as
    usual, or that of each repeated block (a residual block; nothing else is clipped), module or tensor.

    Source: Pascanu, Mikolov & Bengio 2013, with the 1e-6 of ``torch.nn.utils.clip_grad_norm_``.
    """

    scope: Scope = "member"

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        largest = context.fields["gradient_clip"].to(delta.dtype)
        for group in groups(context.layout, self.scope):
            shrunk = (largest / (norms(delta, group) + 1e-6)).clamp(max=1.0)
            factor = torch.where(largest > 0, shrunk, 1.0)
            for part in group:
                delta[:, part].mul_(factor)
        return delta, state
