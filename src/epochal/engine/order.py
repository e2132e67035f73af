"""Which examples each update sees: a fresh permutation per epoch and member, or all of them."""

import torch
from jaxtyping import Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.task import Task
from epochal.engine.members import for_members
from epochal.engine.program import Program


class BatchOrder:
    """Indices ``[M, B]`` of every step, computed from the step number alone.

    Only the current epoch's order is kept, as a cache.
    """

    def __init__(self, program: Program) -> None:
        task: Task = program.task
        members = for_members(
            lambda fields: task.index("train", fields), program.num_members, program.executor
        )
        self._examples: Int64[Tensor, "M N"] = members(dict(program.fields))
        self._seeds = program.fields["order_seed"]
        self._batch_size = program.batch_size
        self._steps_per_epoch = program.steps_per_epoch
        self._epoch = -1
        self._order: Int64[Tensor, "M N"] = self._examples

    def indices(self, step: int) -> Int64[Tensor, "M B"]:
        """The examples of the update after ``step`` completed ones."""
        if self._batch_size is None:
            return self._examples
        epoch, place = divmod(step, self._steps_per_epoch)
        if epoch != self._epoch:
            shuffle = random.permutation(random.key(self._seeds, "order", epoch), self._examples.shape[1])
            self._order = torch.gather(self._examples, 1, shuffle)
            self._epoch = epoch
        return self._order[:, place * self._batch_size : (place + 1) * self._batch_size]
