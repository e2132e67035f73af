"""Grokfast: the slow part of the gradient, amplified. Stands before the optimiser.

Source: Lee, Kang, Kim & Lee 2024, "Grokfast: accelerated grokking by amplifying slow gradients", algorithms 1
and 2, in the form of its code. Both change the gradient's size as well as its direction: an optimiser that
normalises takes that out again, SGD does not.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.transform import Context, State


@dataclass(frozen=True)
class GrokfastEMA:
    """``m = alpha m + (1 - alpha) g``, then ``g + lambda m``. Reads ``grokfast_alpha``, ``grokfast_lambda``.

    m starts as the first gradient. ``grokfast_alpha`` lies in [0, 1) and remembers about 1 / (1 - alpha)
    steps; ``grokfast_lambda`` = 0 leaves the gradient alone. The source's values: 0.98 and 2. State: ``mean``
    [M, P].
    """

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {"mean": torch.zeros_like(flat)}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        mean, fields = state["mean"], context.fields
        if context.step == 0:
            mean.copy_(delta)
        else:
            mean.lerp_(delta, (1 - fields["grokfast_alpha"]).to(delta.dtype))
        return delta.addcmul_(mean, fields["grokfast_lambda"].to(delta.dtype)), state


@dataclass(frozen=True)
class GrokfastMA:
    """``g + lambda mean`` of the last ``window`` gradients, this one among them. Reads ``grokfast_lambda``.

    Before update number ``window`` the gradient is left alone. The source's values: window 100, lambda 5.
    State: ``gradients`` [M, window, P], as large as it sounds, and ``total`` [M, P], their sum.
    """

    window: int = 100

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ValueError(f"window={self.window} is below 1: give the number of gradients to average")

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        members, size = flat.shape
        return {"gradients": flat.new_zeros(members, self.window, size), "total": torch.zeros_like(flat)}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        gradients, total = state["gradients"], state["total"]
        place = context.step % self.window
        total.sub_(gradients[:, place]).add_(delta)
        gradients[:, place] = delta
        if place == self.window - 1:  # summed anew once per window: rounding must not pile up over a run
            torch.sum(gradients, dim=1, out=total)
        if context.step + 1 < self.window:
            return delta, state
        factor = context.fields["grokfast_lambda"] / self.window
        return delta.addcmul_(total, factor.to(delta.dtype)), state
