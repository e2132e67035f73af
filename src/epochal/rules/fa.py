"""Feedback alignment: errors come back through fixed random weights instead of the transposed ones."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import Objective, State
from epochal.core.tensors.random import Key
from epochal.core.tensors.rule import Memory
from epochal.core.tensors.task import Fields
from epochal.rules.feedback.transport import matrices, rms, transported


@dataclass(frozen=True)
class FA:
    """Backpropagation in which every linear layer and convolution sends ``B^T dy`` back, not ``W^T dy``.

    B has the shape of W and its initial root mean square: normal, fixed, of the stream ``feedback``, the
    read-out's too. All else in the backward pass is exact: derivatives of activations, norms, pooling. With
    ``B = W`` it is backpropagation.

    Source: Lillicrap et al. 2016, equation 2, whose B has a scale of its own.

    Raises:
        UserError: a weight is used by neither a linear layer, a 2-d convolution nor an embedding; it calls
            the rule ``called``.
    """

    called: str = "fa"

    def init(
        self,
        network: Network,
        params: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        batch: Batch,
        key: Key,
    ) -> Memory:
        return {
            name: rms(weight) * random.normal(random.fold(key, name), tuple(weight.shape), weight.dtype)
            for name, weight in matrices(self.called, network, params, buffers, batch).items()
        }

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
        return transported(memory, objective, network, params, buffers, batch, fields, state, key)


rule = FA
