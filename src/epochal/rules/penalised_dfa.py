"""Direct feedback alignment whose blocks also pay for the size of what they give."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import Objective, State
from epochal.core.tensors.random import Key
from epochal.core.tensors.rule import Memory
from epochal.core.tensors.task import Fields
from epochal.rules.feedback.direct import Normalization, Sharing, along, apart, credit, draw_feedback


@dataclass(frozen=True)
class PenalisedDFA:
    """``dfa`` plus ``penalty * sum_l mean_i |h_l|^2 / d_l``. Reads ``penalty``; 0 is ``dfa`` itself.

    Penalised is the activation at every site, the residual stream of a residual network, averaged over the
    batch and over the site's d_l features. Its slope reaches the parameters since the site before only, as
    the credit does; the head pays nothing. The loss that is reported is without it.

    The definition is ours: published penalised runs do not say which norm they took.
    """

    credit_normalization: Normalization = "rms"
    feedback_sharing: Sharing = "site"

    def init(
        self,
        network: Network,
        params: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        batch: Batch,
        key: Key,
    ) -> Memory:
        return draw_feedback("penalised_dfa", network, params, buffers, batch, key, self.feedback_sharing)

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
        memory: Memory,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], State]:
        found = apart("penalised_dfa", objective, network, params, buffers, batch, fields, state, key, memory)
        penalty = fields["penalty"].to(found.error.dtype)
        scalar = found.loss
        for site, activation in found.outputs.items():
            told = credit(found.error, memory[site], self.credit_normalization)
            size = activation.to(told.dtype).square().flatten(1).mean(1)
            paid = (size * batch.weight).sum() / batch.weight.sum()
            scalar = scalar + along(activation, told, batch) + penalty * paid
        return scalar, found.loss.detach(), found.state


rule = PenalisedDFA
