"""Training on labels that mean nothing: a control for rules that may move weights whatever they are told."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import Objective, State
from epochal.core.tensors.precision import wide
from epochal.core.tensors.random import Key
from epochal.core.tensors.rule import NOTHING, Memory, Rule, credit_at_sites, surrogate_of
from epochal.core.tensors.task import Fields


@dataclass(frozen=True)
class RandomTargets:
    """``rule`` with targets drawn anew for every batch, uniform over the classes.

    Evaluations see the true ones, and so does what probes are told of the rule's credit. The reported loss of
    the batch is that of the drawn ones.
    """

    rule: Rule
    num_classes: int

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
        memory: Memory = NOTHING,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], State]:
        drawn = random.uniform(
            random.fold(key, "random_targets"), tuple(batch.targets.shape), wide(batch.targets.device)
        )
        targets = (drawn * self.num_classes).long().clamp(max=self.num_classes - 1)
        batch = batch._replace(targets=targets)
        return surrogate_of(self.rule)(objective, network, params, buffers, batch, fields, state, key, memory)

    def credit(
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
    ) -> Mapping[str, Float[Tensor, "B ..."]]:
        return credit_at_sites(
            self.rule, objective, network, params, buffers, batch, fields, key, memory, state
        )
