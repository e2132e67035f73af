"""All that training one pack needs, as one value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import Objective
from epochal.core.tensors.probe import Probe
from epochal.core.tensors.rule import Rule
from epochal.core.tensors.task import Task
from epochal.core.tensors.transform import Transform
from epochal.core.values.schedule import Schedule

LearningRate = Callable[[Mapping[str, Tensor], int], Float[Tensor, "M 1"]]


@dataclass(frozen=True, kw_only=True)
class Program:
    """``fields`` holds what varies: one value per member ``[M]``, float64 or int64, on ``device``.

    ``batch_size`` None means the whole training set. ``probes`` go with their schedules.
    """

    network: Network
    task: Task
    objective: Objective
    rule: Rule
    transform: Transform
    learning_rate: LearningRate
    fields: Mapping[str, Tensor]
    batch_size: int | None
    max_steps: int
    probes: tuple[tuple[Probe, Schedule], ...]
    snapshots: Schedule
    dtype: torch.dtype
    device: torch.device

    @property
    def num_members(self) -> int:
        return len(self.fields["seed"])

    @property
    def steps_per_epoch(self) -> int:
        return 1 if self.batch_size is None else self.task.size("train") // self.batch_size
