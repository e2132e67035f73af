"""Kolen and Pollack: random feedback gets the weights' own updates, and both decay towards each other."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.lesson import Memory
from epochal.core.tensors.transform import Context
from epochal.rules.fa import FA


@dataclass(frozen=True)
class KolenPollack:
    """``fa`` whose B learns: ``B <- B + dW + eta lambda (W - B)``. Reads ``weight_decay``.

    dW is the update of W, with its decay; the last term replaces W's decay by B's own, so that both get the
    same step and decay each for itself. Whatever the optimiser, ``W - B`` shrinks by ``1 - eta lambda`` per
    update, eta the learning rate, lambda ``weight_decay``. ``weight_decay=0`` never aligns them.

    Source: Kolen & Pollack 1994; Akrout et al. 2019, equations 16 and 17, for plain gradient descent.

    Raises:
        UserError: a weight is used by neither a linear layer, a 2-d convolution nor an embedding.
    """

    rule: ClassVar[FA] = FA(called="kolen_pollack")

    def after_update(self, memory: Memory, delta: Float[Tensor, "M P"], context: Context) -> Memory:
        updates, weights = context.layout.unflatten(delta), context.layout.unflatten(context.flat)
        shrinking = (context.learning_rate * context.fields["weight_decay"]).to(delta.dtype)
        learned = {}
        for name, feedback in memory.items():
            rate = shrinking.view(-1, *[1] * (feedback.ndim - 1))
            learned[name] = feedback + updates[name] + rate * (weights[name] - feedback)
        return learned


rule = KolenPollack
