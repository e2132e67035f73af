"""The contract of a rule: a scalar of one member whose gradient is the direction to descend."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import Objective, State
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields


@runtime_checkable
class Rule(Protocol):
    """Builds the surrogate of one member; the engine sums it over members and differentiates once."""

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
        """The surrogate, the loss on the batch, and the next state of the objective."""
        ...
