"""Training at constant weight norm."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.transform import Context, State
from epochal.optim.scope import Scope, groups, norms


@dataclass(frozen=True)
class ConstantNorm:
    """``(w + delta) |w0| / |w + delta| - w``: every update ends at the norm of step 0. Reads no field.

    It stands last in a chain. ``scope`` says what keeps its norm: the member's whole vector, as in the
    source, or each block or tensor for itself, where what starts at norm zero (biases, a zero read-out) is
    left free. Multiply the initial weights to train on another sphere.

    Source: Liu, Michaud & Tegmark 2023 ("Omnigrok"), section 3.
    """

    scope: Scope = "member"

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        after = delta.add_(context.flat)
        for group in groups(context.layout, self.scope):
            initial, now = norms(context.initial, group), norms(after, group)
            factor = torch.where((initial > 0) & (now > 0), initial / now, 1.0)
            for part in group:
                after[:, part].mul_(factor)
        return after.sub_(context.flat), state
