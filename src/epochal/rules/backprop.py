"""Backpropagation: the surrogate is the loss itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import Objective, State
from epochal.core.tensors.random import Key
from epochal.core.tensors.tap import Tap
from epochal.core.tensors.task import Fields


@dataclass(frozen=True)
class Backprop:
    """Exact gradients (Rumelhart, Hinton & Williams 1986)."""

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
        tap = Tap(training=True, key=key)
        loss, state = objective(
            lambda inputs: network(params, buffers, inputs, tap), batch, fields, state, key
        )
        return loss, loss.detach(), state


rule = Backprop
