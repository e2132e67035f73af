"""Gaussian noise on the weights of the training pass."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.random import Key
from epochal.core.tensors.rule import Columns, Pass, Rule, Surrogates, gradient_of


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

    def gradient(self, surrogates: Surrogates, flat: Float[Tensor, "M P"], fields: Columns, key: Key) -> Pass:
        with torch.no_grad():
            drawn = random.fold(key, "weight_noise")[:, None]
            noise = random.normal(drawn, torch.arange(flat.shape[1], device=flat.device), flat.dtype)
            noisy = torch.addcmul(flat, noise, fields["weight_noise"].to(flat.dtype))
        return gradient_of(self.rule, surrogates, noisy, fields, key)
