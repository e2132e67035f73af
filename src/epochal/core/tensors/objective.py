"""The contract of an objective: the loss of one member on one batch.

One that keeps something between updates, such as weights of groups, also has ``init``, which gives its state:
tensors by name. What a call returns as the next state is kept, stored with the run, and shown to whoever
evaluates the objective.
"""

from collections.abc import Callable
from typing import Protocol, cast, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields, Task

LogitsFn = Callable[[Tensor], Float[Tensor, "B *T C"]]
State = dict[str, Tensor]


@runtime_checkable
class Objective(Protocol):
    """``(logits_fn, batch, fields, state, key) -> (loss, state)`` for one member, differentiable."""

    def __call__(
        self, logits_fn: LogitsFn, batch: Batch, fields: Fields, state: State, key: Key
    ) -> tuple[Float[Tensor, ""], State]: ...


@runtime_checkable
class ObjectiveWithState(Protocol):
    """An objective that keeps tensors between updates."""

    def init(self, task: Task, fields: Fields) -> State:
        """The state of one member before any update; a function of these alone.

        Raises:
            UserError: the task does not tell what it takes.
        """
        ...


def initial_state(objective: Objective, task: Task, fields: Fields) -> State:
    """What an objective keeps of one member before any update; nothing for most."""
    if not isinstance(objective, ObjectiveWithState):
        return {}
    return cast(ObjectiveWithState, objective).init(task, fields)
