"""Direct random target projection: blocks are told the target itself, before there is any output."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import Objective, State
from epochal.core.tensors.random import Key
from epochal.core.tensors.rule import Memory
from epochal.core.tensors.task import Fields
from epochal.rules.feedback.direct import Normalization, Sharing, along, apart, credit, draw_feedback


@dataclass(frozen=True)
class DRTP:
    """``dfa`` with each example's one-hot target in place of its error: ``a_l = y B_l^T``.

    The error's sign is fixed by the target, so the target can stand for it; the sign of B carries no meaning.
    The head learns by its own gradient. As the target does not vanish, blocks are pushed for ever.

    Source: Frenkel, Lefebvre & Bol 2021, equation 4, whose B is uniform instead of normal.
    """

    credit_normalization: Normalization = "rms"
    feedback_sharing: Sharing = "site"

    def init(
        self,
        network: Network,
        params: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        batch: Batch,
        key: Key,
    ) -> Memory:
        return draw_feedback("drtp", network, params, buffers, batch, key, self.feedback_sharing)

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
        memory: Memory,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], State]:
        found = apart("drtp", objective, network, params, buffers, batch, fields, state, key, memory)
        classes = torch.arange(found.error.shape[-1], device=found.error.device)
        target = (classes == batch.targets[:, None]).to(found.error.dtype)
        scalar = found.loss
        for site, activation in found.outputs.items():
            told = credit(target, memory[site], self.credit_normalization)
            scalar = scalar + along(activation, told, batch)
        return scalar, found.loss.detach(), found.state


rule = DRTP
