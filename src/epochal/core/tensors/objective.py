"""The contract of an objective: the loss of one member on one batch."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields

LogitsFn = Callable[[Tensor], Float[Tensor, "B *T C"]]
State = dict[str, Tensor]


@runtime_checkable
class Objective(Protocol):
    """``(logits_fn, batch, fields, state, key) -> (loss, state)`` for one member, differentiable."""

    def __call__(
        self, logits_fn: LogitsFn, batch: Batch, fields: Fields, state: State, key: Key
    ) -> tuple[Float[Tensor, ""], State]: ...
