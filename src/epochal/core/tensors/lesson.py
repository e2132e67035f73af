"""What a rule is given of one member at one update: a network, examples, and what judges it on them."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.network import Network
from epochal.core.tensors.objective import LogitsFn, Objective, State
from epochal.core.tensors.random import Key
from epochal.core.tensors.tap import SILENT, Edit, Tap
from epochal.core.tensors.task import Fields

Memory = dict[str, Tensor]
"""What a rule keeps of one member, by name; of a population ``[M, ...]`` each."""

NOTHING: Memory = {}

Judged = tuple[Float[Tensor, ""], Float[Tensor, ""], State]
"""The scalar whose gradient is descended, the loss to report, and the objective's next state."""


class Lesson(NamedTuple):
    """Of one member, also under ``vmap``: parameters and buffers by name, ``state`` is the objective's.

    ``_replace`` gives the same lesson on another batch, or for a network seen in another way.
    """

    objective: Objective
    network: Network
    params: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    batch: Batch
    fields: Fields
    key: Key
    state: State = NOTHING
    memory: Memory = NOTHING
    known: Float[Tensor, "B *T C"] | None = None
    """Logits of the batch in evaluation mode, where somebody has them."""

    def training(self, edit: Edit | None = None) -> Tap:
        """The tap of a training pass: batch norm and dropout as in training, ``edit`` at every site."""
        return Tap(training=True, edit=edit, key=self.key)

    def logits(self, inputs: Tensor, tap: Tap = SILENT) -> Float[Tensor, "B *T C"]:
        """Of any inputs; without a tap in evaluation mode."""
        return self.network(self.params, self.buffers, inputs, tap)

    def evaluated(self) -> Float[Tensor, "B *T C"]:
        """Logits of the batch in evaluation mode: those that are known, or a forward pass."""
        return self.logits(self.batch.inputs) if self.known is None else self.known

    def loss(self, logits_fn: LogitsFn) -> tuple[Float[Tensor, ""], State]:
        """The objective on the batch, of the network as ``logits_fn`` says, and its next state."""
        return self.objective(logits_fn, self.batch, self.fields, self.state, self.key)


Surrogate = Callable[[Lesson], Judged]
