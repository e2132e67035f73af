"""Gaussian noise on the update."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.transform import Context, State


@dataclass(frozen=True)
class UpdateNoise:
    """Adds ``-lr update_noise z``, z ~ N(0, 1) for every parameter, member and step. Reads ``update_noise``.

    After Adam that is ``-lr (m_hat / (sqrt(v_hat) + epsilon) + update_noise z)``: 1 is noise as large as the
    normalised gradient, 0 none. Not scaled by the gradient, so it means something else after SGD.

    Source: openai/grok, ``CustomAdamW`` (``noise_factor``). Deviates in the first steps: there the noise too
    is divided by ``1 - beta1^t``, ten times as large in the first update at beta1 = 0.9.
    """

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {}

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        key = random.fold(context.key, "update_noise")[:, None]
        noise = random.normal(key, torch.arange(delta.shape[1], device=delta.device), delta.dtype)
        scale = context.learning_rate * context.fields["update_noise"]
        return delta.addcmul_(noise, -scale.to(delta.dtype)), state
