"""RMSprop: the gradient over its running root mean square."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.layout import Layout
from epochal.core.tensors.transform import Context, State, Transform
from epochal.core.values.optimization import Optimization


@dataclass(frozen=True)
class RMSprop:
    """``-lr g / (sqrt(v) + epsilon)``. Reads ``rmsprop_alpha``, ``adam_epsilon``.

    ``v = alpha v + (1 - alpha) g^2`` with alpha = ``rmsprop_alpha`` in [0, 1). v starts at zero and is not
    corrected for that, so that the first step is ``1 / sqrt(1 - alpha)`` times the rate. Not centred,
    no momentum. State: ``square`` [M, P].

    Source: Tieleman & Hinton 2012, in the form of ``torch.optim.RMSprop``, with which it agrees to rounding.
    """

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {"square": torch.zeros_like(flat)}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        alpha, dtype = context.fields["rmsprop_alpha"], delta.dtype
        square = state["square"].mul_(alpha.to(dtype)).addcmul_(delta.square(), (1 - alpha).to(dtype))
        root = square.sqrt().add_(context.fields["adam_epsilon"].to(dtype))
        return delta.div_(root).mul_(-context.learning_rate.to(dtype)), state


def optimizer(spec: Optimization, layout: Layout) -> Transform:
    return RMSprop()
