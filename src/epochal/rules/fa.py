"""Feedback alignment: errors come back through fixed random weights instead of the transposed ones."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.lesson import Judged, Lesson, Memory
from epochal.core.tensors.network import Network
from epochal.core.tensors.random import Key
from epochal.rules.feedback.transport import matrices, rms, transported


@dataclass(frozen=True)
class FA:
    """Backpropagation in which every linear layer and convolution sends ``B^T dy`` back, not ``W^T dy``.

    B has the shape of W and its initial root mean square: normal, fixed, of the stream ``feedback``, the
    read-out's too. All else in the backward pass is exact: derivatives of activations, norms, pooling. With
    ``B = W`` it is backpropagation.

    Source: Lillicrap et al. 2016, equation 2, whose B has a scale of its own.

    Raises:
        UserError: a weight is used by neither a linear layer, a 2-d convolution nor an embedding; it calls
            the rule ``called``.
    """

    called: str = "fa"

    def init(
        self,
        network: Network,
        params: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        batch: Batch,
        key: Key,
    ) -> Memory:
        return {
            name: rms(weight) * random.normal(random.fold(key, name), tuple(weight.shape), weight.dtype)
            for name, weight in matrices(self.called, network, params, buffers, batch).items()
        }

    def surrogate(self, lesson: Lesson) -> Judged:
        return transported(lesson, lesson.memory)


rule = FA
