"""Lion: the sign of a momentum, so that every parameter moves by the rate."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.layout import Layout
from epochal.core.tensors.transform import Context, State, Transform
from epochal.core.values.optimization import Optimization


@dataclass(frozen=True)
class Lion:
    """``-lr sign(beta1 m + (1 - beta1) g)``, then ``m = beta2 m + (1 - beta2) g``.

    Reads ``beta1`` and ``beta2`` in [0, 1); the source's are 0.9 and 0.99. A parameter without gradient and
    momentum stays where it is. The update has the size of the rate whatever the gradient, hence rates 3 to
    10 times smaller and decays as much larger than AdamW's (their section 5); decay is a link of its own.
    State: ``momentum`` [M, P].

    Source: Chen et al. 2023, "Symbolic discovery of optimization algorithms", algorithm 2.
    """

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {"momentum": torch.zeros_like(flat)}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        beta1, beta2 = context.fields["beta1"], context.fields["beta2"]
        momentum = state["momentum"]
        ahead = momentum.lerp(delta, (1 - beta1).to(delta.dtype))
        momentum.lerp_(delta, (1 - beta2).to(delta.dtype))
        return torch.sign(ahead, out=delta).mul_((-context.learning_rate).to(delta.dtype)), state


def optimizer(spec: Optimization, layout: Layout) -> Transform:
    return Lion()
