"""Weight mirror: noise through each layer shows the feedback what the weights are."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.lesson import Memory
from epochal.core.tensors.transform import Context
from epochal.rules.fa import FA


@dataclass(frozen=True)
class WeightMirror:
    """``fa`` whose B learns from noise x: ``B <- B + rate (mean_k y_k x_k^T - B)``, ``y_k = W x_k``.

    For x ~ N(0, 1), ``E[y x^T] = W``, so B follows W as an average over the last ``1 / rate`` updates, with a
    relative error of about ``sqrt(rate fan_in / (2 num_noise))``: 0.14 for 256 inputs, 0.5 for 3072. Noise
    enters each layer by itself, before its activation, in a mode of its own after every update; a
    convolution's weight is taken as the matrix of its patches.

    Source: Akrout et al. 2019, section 3.1, with the decay of B as strong as its learning, so that it rests
    at B = W.

    Raises:
        UserError: a weight is used by neither a linear layer, a 2-d convolution nor an embedding.
    """

    rate: float = 0.02
    num_noise: int = 128

    rule: ClassVar[FA] = FA(called="weight_mirror")

    def after_update(self, memory: Memory, delta: Float[Tensor, "M P"], context: Context) -> Memory:
        weights = context.layout.unflatten(context.flat + delta)
        key = random.fold(context.key, "weight_mirror")
        learned = {}
        for name, feedback in memory.items():
            weight = weights[name].flatten(2)  # [M, outputs, fan_in]
            index = torch.arange(self.num_noise * weight.shape[2], device=weight.device)
            drawn = random.normal(random.fold(key, name)[:, None], index, weight.dtype)
            noise = drawn.view(len(weight), self.num_noise, weight.shape[2])
            seen = (noise @ weight.mT).mT @ noise / self.num_noise
            learned[name] = torch.lerp(feedback, seen.view_as(feedback), self.rate)
        return learned


rule = WeightMirror
