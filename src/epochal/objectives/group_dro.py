"""Distributionally robust optimisation over groups: who fares worse counts more and more."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.objective import LogitsFn, State
from epochal.core.tensors.precision import wide
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields, Task
from epochal.objectives.across.parts import means_by
from epochal.objectives.cross_entropy import losses_of


@dataclass(frozen=True, kw_only=True)
class GroupDRO:
    """``sum_g q_g risk_g``, where first ``q_g`` grows by ``exp(group_dro_eta risk_g)``, its sum staying 1.

    Reads ``group_dro_eta`` and, if there is such a field, ``label_smoothing``. ``factor`` names the groups,
    ``count`` of them; one without an example in the batch has risk 0 there, as in the source. No gradient
    goes through q. With a step of 0 it is the mean over groups. State: ``log_q [G]``.

    Evaluated on a split, q takes one step by the split's own risks too.

    Source: Sagawa et al. 2020, algorithm 1; without its adjustments by group sizes.
    """

    factor: str
    count: int

    def init(self, task: Task, fields: Fields) -> State:
        seed = fields["seed"]
        even = torch.full((self.count,), -math.log(self.count), dtype=wide(seed.device), device=seed.device)
        return {"log_q": even}

    def __call__(
        self, logits_fn: LogitsFn, batch: Batch, fields: Fields, state: State, key: Key
    ) -> tuple[Float[Tensor, ""], State]:
        losses = losses_of(logits_fn(batch.inputs), batch.targets, fields)
        risks = means_by(self.factor, self.count, losses, batch).values
        grown = state["log_q"] + fields["group_dro_eta"] * risks.detach()
        log_q = torch.log_softmax(grown, -1)
        return (log_q.exp().to(risks.dtype) * risks).sum(), {"log_q": log_q}


objective = GroupDRO
