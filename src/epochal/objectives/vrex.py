"""Risk extrapolation: the risk has to be the same in every environment."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.objective import LogitsFn, State
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields, Task
from epochal.objectives.across import annealed
from epochal.objectives.across.parts import means_by
from epochal.objectives.cross_entropy import losses_of


@dataclass(frozen=True, kw_only=True)
class VREx:
    """``risk + penalty_weight variance_e(risk_e)``, the risk being cross-entropy.

    Reads ``penalty_weight``, ``penalty_anneal_steps`` and, if there is such a field, ``label_smoothing``.
    ``factor`` names the environments, ``count`` of them; the variance is the population's over those with an
    example in the batch. With a weight of 0 it is ``cross_entropy``, to the bit. State: ``updates``.

    Source: Krueger et al. 2021, V-REx (equation 8). Deviation: the risk is the batch's mean, so that
    environments count by their examples.
    """

    factor: str
    count: int

    def init(self, task: Task, fields: Fields) -> State:
        return annealed.fresh(fields)

    def __call__(
        self, logits_fn: LogitsFn, batch: Batch, fields: Fields, state: State, key: Key
    ) -> tuple[Float[Tensor, ""], State]:
        losses = losses_of(logits_fn(batch.inputs), batch.targets, fields)
        risks = means_by(self.factor, self.count, losses, batch)
        risk = (losses * batch.weight).sum() / batch.weight.sum()
        weight, state = annealed.penalty_weight(fields, state)
        return risk + weight.to(risk.dtype) * risks.variance(), state


objective = VREx
