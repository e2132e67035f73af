"""All that training one pack needs, as one value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import Objective
from epochal.core.tensors.probe import ConfiguredProbe
from epochal.core.tensors.rule import Rule
from epochal.core.tensors.task import Task
from epochal.core.tensors.transform import Transform
from epochal.core.values.batches import LastBatch, updates_per_epoch
from epochal.core.values.executor import InProcess
from epochal.core.values.schedule import Schedule
from epochal.engine.stopping import Stopping

LearningRate = Callable[
    [Mapping[str, Tensor], int | Int64[Tensor, "*steps 1 1"]], Float[Tensor, "*steps M 1"]
]


@dataclass(frozen=True, kw_only=True)
class Program:
    """``fields`` holds what varies: one value per member ``[M]``, float64 or int64, on ``device``.

    ``batch_size`` None means the whole training set. ``probes`` go with their schedules;
    those that look into the network see ``probe_samples`` examples. ``executor`` and
    ``is_compiled`` say how the members' passes are computed; they change results by rounding only.
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
    probes: tuple[tuple[ConfiguredProbe, Schedule], ...]
    snapshots: Schedule
    dtype: torch.dtype
    device: torch.device
    last_batch: LastBatch = "drop"
    probe_samples: int = 1024
    stopping: Stopping | None = None
    executor: InProcess = "vmap"
    is_compiled: bool = False

    @property
    def num_members(self) -> int:
        return len(self.fields["seed"])

    @property
    def steps_per_epoch(self) -> int:
        return updates_per_epoch(self.batch_size, self.task.size("train"), self.last_batch)

    def steps_of(self, schedule: Schedule, max_steps: int | None = None) -> list[int]:
        """The steps of a schedule, with its epochs as this program counts them, up to its own last step."""
        steps: list[int] = schedule.steps(max_steps or self.max_steps, self.steps_per_epoch).tolist()
        return steps

    def of_members(self, rows: Int64[Tensor, " m"]) -> "Program":
        """The same program for some of its members."""
        return replace(self, fields={name: values[rows] for name, values in self.fields.items()})
