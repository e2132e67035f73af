"""Sharpness-aware minimisation: the gradient from the worst point nearby."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import Objective, State
from epochal.core.tensors.random import Key
from epochal.core.tensors.rule import Columns, Pass, Rule, Surrogates, gradient_of
from epochal.core.tensors.task import Fields


@dataclass(frozen=True)
class SAM:
    """The direction of ``rule`` at ``w + rho g / |g|``, g its direction at w. Reads ``sam_rho``.

    Two backwards per update, on the same batch with the same random numbers. ``sam_rho`` = 0 is ``rule``
    itself. Losses and the objective's state are those at w. g = 0 stays where it is.

    Source: Foret et al. 2021, algorithm 1 and equation 2 with p = 2.
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
        here = gradient_of(self.rule, surrogates, flat, fields, key)
        with torch.no_grad():
            norm = torch.linalg.vector_norm(here.gradient, dim=1, keepdim=True)
            stride = fields["sam_rho"].to(flat.dtype) / norm.clamp(min=SMALLEST_NORM)
            worst = torch.addcmul(flat, here.gradient, stride)
        return here._replace(gradient=gradient_of(self.rule, surrogates, worst, fields, key).gradient)


SMALLEST_NORM = 1e-12
