"""Stochastic gradient descent with momentum."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.layout import Layout
from epochal.core.tensors.transform import Context, State, Transform
from epochal.core.values.optimization import Optimization


@dataclass(frozen=True)
class SGD:
    """``b = momentum b + g``, then ``-lr b``. Reads ``momentum``.

    With ``nesterov`` the update is ``-lr (g + momentum b)``. ``momentum`` lies in [0, 1); 0 is plain
    gradient descent in both forms. No dampening: at a constant gradient steps grow to ``lr g / (1 -
    momentum)``. State: ``momentum`` [M, P].

    Source: Sutskever et al. 2013, in the form of ``torch.optim.SGD``, with which it agrees to rounding.
    """

    nesterov: bool = False

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {"momentum": torch.zeros_like(flat)}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        rate = context.learning_rate.to(delta.dtype)
        momentum = context.fields["momentum"].to(delta.dtype)
        running = state["momentum"].mul_(momentum).add_(delta)
        if self.nesterov:
            return delta.addcmul_(running, momentum).mul_(-rate), state
        return torch.mul(running, -rate, out=delta), state


def optimizer(spec: Optimization, layout: Layout) -> Transform:
    return SGD(spec.nesterov)
