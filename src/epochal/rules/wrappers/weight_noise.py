"""Gaussian noise on the weights of the training pass."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import Objective, State
from epochal.core.tensors.random import Key
from epochal.core.tensors.rule import Columns, Pass, Rule, Surrogates, gradient_of
from epochal.core.tensors.task import Fields


@dataclass(frozen=True)
class WeightNoise:
    """The direction of ``rule`` at ``w + weight_noise z``. Reads ``weight_noise``.

    z ~ N(0, 1) for every parameter, member and step. The update starts from w: only the pass that trains sees
    the noise, an evaluation does not. 0 is ``rule`` itself. ``SAM(WeightNoise(rule))`` has the same z in both
    of its passes. Losses are those with noise.

    Source: openai/grok, ``transformer.py`` (``weight_noise`` on linear maps, layer norms and embeddings,
    biases included: every parameter there is).
    """

    rule: Rule

    def surrogate(
        self,
        objective: Objective,
        network: Network,
        params: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        batch: Batch,
        fields: Fields,
        state: State,
        key: Key,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], State]:
        return self.rule.surrogate(objective, network, params, buffers, batch, fields, state, key)

    def gradient(self, surrogates: Surrogates, flat: Float[Tensor, "M P"], fields: Columns, key: Key) -> Pass:
        with torch.no_grad():
            drawn = random.fold(key, "weight_noise")[:, None]
            noise = random.normal(drawn, torch.arange(flat.shape[1], device=flat.device), flat.dtype)
            noisy = torch.addcmul(flat, noise, fields["weight_noise"].to(flat.dtype))
        return gradient_of(self.rule, surrogates, noisy, fields, key)
