"""Sharpness-aware minimisation: the gradient from the worst point nearby."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.random import Key
from epochal.core.tensors.rule import Columns, Pass, Rule, Surrogates, gradient_of


@dataclass(frozen=True)
class SAM:
    """The direction of ``rule`` at ``w + rho g / |g|``, g its direction at w. Reads ``sam_rho``.

    Two backwards per update, on the same batch with the same random numbers. ``sam_rho`` = 0 is ``rule``
    itself. Losses, the objective's state and batch norm's statistics are those at w. g = 0 stays where it is.

    Source: Foret et al. 2021, algorithm 1 and equation 2 with p = 2.
    """

    rule: Rule

    def gradient(self, surrogates: Surrogates, flat: Float[Tensor, "M P"], fields: Columns, key: Key) -> Pass:
        here = gradient_of(self.rule, surrogates, flat, fields, key)
        with torch.no_grad():
            norm = torch.linalg.vector_norm(here.gradient, dim=1, keepdim=True)
            stride = fields["sam_rho"].to(flat.dtype) / norm.clamp(min=SMALLEST_NORM)
            worst = torch.addcmul(flat, here.gradient, stride)
        return here._replace(gradient=gradient_of(self.rule, surrogates, worst, fields, key).gradient)


SMALLEST_NORM = 1e-12
