"""Weight decay of four kinds. All read ``weight_decay``; 0 is no decay.

The coupled kind is part of the gradient: it stands after clipping and before whatever has moments. The
others are part of the update: they stand after what turns gradients into updates, so that they are
multiplied by the learning rate and by nothing else.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.transform import Context, State


@dataclass(frozen=True)
class CoupledDecay:
    """``g + weight_decay w``: the gradient of ``loss + weight_decay |w|^2 / 2``. Reads ``weight_decay``.

    Source: the ``weight_decay`` of ``torch.optim.Adam``, ``SGD`` and ``RMSprop``; MIML's "honest".
    """

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        return delta.addcmul_(context.flat, context.fields["weight_decay"].to(delta.dtype)), state


@dataclass(frozen=True)
class DecayToZero:
    """Adds ``-lr weight_decay w``. Reads ``weight_decay``.

    Without gradient w shrinks by ``1 - lr weight_decay``.

    Source: Loshchilov & Hutter 2019, with the learning rate as a factor as in ``torch.optim.AdamW``.
    """

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        return delta.addcmul_(context.flat, _strength(context, delta).neg()), state

    def addend(self, context: Context) -> Float[Tensor, "M P"]:
        """What it adds, whatever the update is."""
        return context.flat * _strength(context, context.flat).neg()


@dataclass(frozen=True)
class DecayToInitial:
    """Adds ``-lr weight_decay (w - w0)``, w0 the weights at step 0. Reads ``weight_decay``.

    Without gradient the distance to w0 shrinks by ``1 - lr weight_decay``; w = w0 stays exactly.

    Source: Power et al. 2022, appendix A.1.2 ("weight decay towards initialization").
    """

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        return delta.addcmul_(context.flat - context.initial, _strength(context, delta).neg()), state


@dataclass(frozen=True)
class JiggledDecay:
    """``w exp(z lr weight_decay)``, z ~ N(0, 1): one per tensor, member and step. Reads ``weight_decay``.

    No decay on the average of log-norms: a control for decay that keeps its multiplicative noise.

    Source: openai/grok, ``CustomAdamW`` ("jiggle"). Deviates in where z comes from: the step's key.
    """

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        entries = context.layout.entries
        key = random.fold(context.key, "jiggle")[:, None]
        z = random.normal(key, torch.arange(len(entries), device=delta.device), torch.float64)
        growth = torch.expm1(z * context.learning_rate * context.fields["weight_decay"]).to(delta.dtype)
        for place, entry in enumerate(entries):
            part = entry.slice
            delta[:, part].addcmul_(context.flat[:, part], growth[:, place : place + 1])
        return delta, state


def _strength(context: Context, delta: Float[Tensor, "M P"]) -> Float[Tensor, "M 1"]:
    return (context.learning_rate * context.fields["weight_decay"]).to(delta.dtype)
