"""AdamW: adaptive moments with decoupled weight decay."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.transform import Context, State


@dataclass(frozen=True)
class AdamW:
    """``-lr (m_hat / (sqrt(v_hat) + epsilon) + weight_decay w)`` per member.

    m and v are running means of g and g^2 with decays ``beta1`` and ``beta2``, hats divide by 1 - beta^t.
    Source: Loshchilov & Hutter 2019, algorithm 2, with the decay scaled by the learning rate as in
    ``torch.optim.AdamW``, with which it agrees to rounding.
    """

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {"mean": torch.zeros_like(flat), "square": torch.zeros_like(flat)}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        fields, rate, time = context.fields, context.learning_rate, context.step + 1
        beta1, beta2 = fields["beta1"], fields["beta2"]

        def cast(value: Float[Tensor, "M 1"]) -> Float[Tensor, "M 1"]:
            return value.to(delta.dtype)

        mean, square = state["mean"], state["square"]
        mean.lerp_(delta, cast(1 - beta1))
        square.mul_(cast(beta2)).addcmul_(delta.square(), cast(1 - beta2))
        root = square.sqrt().mul_(cast((1 - beta2**time).rsqrt())).add_(cast(fields["epsilon"]))
        delta = torch.div(mean, root, out=delta).mul_(cast(-rate / (1 - beta1**time)))
        return delta.addcmul_(context.flat, cast(-rate * fields["weight_decay"])), state
