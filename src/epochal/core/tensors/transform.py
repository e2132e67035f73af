"""The contract of a transform: from gradient to update, for all members at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.layout import Layout
from epochal.core.tensors.random import Key

State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a transform may read. ``step`` counts the updates that its state has seen before this one.

    Hyperparameters are float64 ``[M, 1]``: what is derived from them (1 - beta^t) is derived in float64
    and cast to the parameters' dtype once; in float32, 1 - 0.999 is off by 1.3e-5.
    """

    flat: Float[Tensor, "M P"]
    initial: Float[Tensor, "M P"]
    layout: Layout
    fields: Mapping[str, Float[Tensor, "M 1"]]
    learning_rate: Float[Tensor, "M 1"]
    key: Key
    step: int


@runtime_checkable
class Transform(Protocol):
    """The first transform of a chain gets the gradient; what the last returns is added to the parameters.

    ``delta`` and the tensors of ``state`` belong to the transform: it may write its results into them.
    """

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        """State before the first update."""
        ...

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]: ...
