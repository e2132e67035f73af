"""Sign symmetry: errors come back through the signs of the weights."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.lesson import Judged, Lesson, Memory
from epochal.core.tensors.network import Network
from epochal.core.tensors.random import Key
from epochal.rules.feedback.transport import matrices, rms, transported


@dataclass(frozen=True)
class SignSymmetry:
    """``fa`` with ``B = r sign(W)`` at every update, r the root mean square of W at the start.

    The memory is r, a number per weight; nothing is drawn. The sign of 0 is 0.

    Source: Liao, Leibo & Poggio 2016, "uniform sign-concordant feedback", whose r is 1 (batch norm divides it
    out there).

    Raises:
        UserError: a weight is used by neither a linear layer, a 2-d convolution nor an embedding.
    """

    def init(
        self,
        network: Network,
        params: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        batch: Batch,
        key: Key,
    ) -> Memory:
        met = matrices("sign_symmetry", network, params, buffers, batch)
        return {name: rms(weight) for name, weight in met.items()}

    def surrogate(self, lesson: Lesson) -> Judged:
        feedback = {
            name: scale * lesson.params[name].detach().sign() for name, scale in lesson.memory.items()
        }
        return transported(lesson, feedback)


rule = SignSymmetry
