"""Cross-entropy in which every group of the training set has the same mass."""

from dataclasses import dataclass
from typing import Protocol, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.objective import LogitsFn, State
from epochal.core.tensors.precision import wide
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields, Task
from epochal.core.values.errors import UserError
from epochal.objectives.across.parts import part_of
from epochal.objectives.cross_entropy import losses_of


class TaskWithFactors(Protocol):
    """Tells targets and factors of examples without making their inputs."""

    def drawn(
        self, index: Int64[Tensor, " B"], fields: Fields
    ) -> tuple[Int64[Tensor, " B"], dict[str, Tensor]]: ...


@dataclass(frozen=True, kw_only=True)
class Reweighted:
    """The weighted mean over the batch of ``N / (G N_g) loss``, g the example's group.

    ``N_g`` of the N training examples are in group g; G groups have any. Over the training set that is the
    mean over groups of each one's mean loss, and over a batch an unbiased estimate of it. An example of a
    group that nothing was trained on counts 0. Reads ``label_smoothing``, if there is such a field.
    ``factor`` names the groups, ``count`` of them. State, which stays: ``ratio [count]``.

    Source: Sagawa et al. 2020, section 3.3 (importance weighting by inverse group frequency).
    """

    factor: str
    count: int

    def init(self, task: Task, fields: Fields) -> State:
        """Raises:
        UserError: the task cannot tell its examples' groups.
        """
        if not hasattr(task, "drawn"):
            raise UserError(f"objective=reweighted needs the {self.factor} of every training example")
        _, factors = cast(TaskWithFactors, task).drawn(task.index("train", fields), fields)
        part = part_of(factors, self.factor)
        size = (part[:, None] == torch.arange(self.count, device=part.device)).sum(0)
        num_groups = (size > 0).sum()
        even = len(part) / (num_groups * size.clamp(min=1)).to(wide(part.device))
        return {"ratio": torch.where(size > 0, even, 0.0)}

    def __call__(
        self, logits_fn: LogitsFn, batch: Batch, fields: Fields, state: State, key: Key
    ) -> tuple[Float[Tensor, ""], State]:
        losses = losses_of(logits_fn(batch.inputs), batch.targets, fields)
        ratio = state["ratio"][part_of(batch.factors, self.factor)].to(losses.dtype)
        return (ratio * losses * batch.weight).sum() / batch.weight.sum(), state


objective = Reweighted
