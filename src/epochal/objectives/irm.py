"""Invariant risk minimisation: one scale of the logits has to be best in every environment."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.objective import LogitsFn, State
from epochal.core.tensors.positions import mean_of
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields, Task
from epochal.objectives.across import annealed
from epochal.objectives.across.parts import means_by
from epochal.objectives.cross_entropy import losses_of


@dataclass(frozen=True, kw_only=True)
class IRM:
    """``risk + penalty_weight mean_e (d risk_e(s z) / ds at s = 1)^2``, the risk being cross-entropy.

    Reads ``penalty_weight``, ``penalty_anneal_steps`` and, if there is such a field, ``label_smoothing``.
    ``factor`` names the environments, ``count`` of them; those without an example in the batch are left out
    of the mean. With a weight of 0 it is ``cross_entropy``, to the bit. State: ``updates``.

    The penalty is 0 where no common factor on an environment's logits would lower its risk: also where all is
    known for certain, so that on training data it vanishes with memorisation.

    Source: Arjovsky et al. 2019, IRMv1 (equation 4). Deviations: the risk is the batch's mean, so that
    environments count by their examples, and the loss is not divided by the weight; the squared slope is the
    paper's (biased by its variance in small batches), not DomainBed's product of two halves.
    """

    factor: str
    count: int

    def init(self, task: Task, fields: Fields) -> State:
        return annealed.fresh(fields)

    def __call__(
        self, logits_fn: LogitsFn, batch: Batch, fields: Fields, state: State, key: Key
    ) -> tuple[Float[Tensor, ""], State]:
        logits = logits_fn(batch.inputs)
        losses = losses_of(logits, batch.targets, fields)
        slopes = means_by(self.factor, self.count, scale_slopes(logits, batch.targets, fields), batch)
        risk = (losses * batch.weight).sum() / batch.weight.sum()
        weight, state = annealed.penalty_weight(fields, state)
        return risk + weight.to(risk.dtype) * slopes._replace(values=slopes.values.square()).mean(), state


def scale_slopes(
    logits: Float[Tensor, "B *T C"], targets: Int64[Tensor, "B *T"], fields: Fields
) -> Float[Tensor, " B"]:
    """``d loss(s z) / ds`` at s = 1, of each example's cross-entropy: ``sum_c (softmax(z) - y)_c z_c``."""
    right = logits.gather(-1, targets[..., None])[..., 0]
    if "label_smoothing" in fields:
        right = torch.lerp(right, logits.mean(-1), fields["label_smoothing"].to(logits.dtype))
    return mean_of((torch.softmax(logits, -1) * logits).sum(-1) - right)


objective = IRM
