"""Frozen blocks: only what follows the last site learns. A control for rules that claim to train the rest."""

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
class Frozen:
    """The gradient of the loss in the parameters after the model's last site, 0 in all others.

    Activations are detached at every site, so that the network is a read-out of random features (Rahimi &
    Recht 2007). What another rule reaches beyond it, it has reached by training the features. Weight decay
    still moves the frozen parameters; set it to 0 to hold them. Batch norm's statistics follow the batches.
    """

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
        tap = Tap(training=True, edit=lambda site, activation: activation.detach(), key=key)
        loss, state = objective(
            lambda inputs: network(params, buffers, inputs, tap), batch, fields, state, key
        )
        return loss, loss.detach(), state


rule = Frozen
