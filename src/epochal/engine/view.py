"""The view that probes get during training and afterwards."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.layout import Layout
from epochal.core.tensors.tap import SILENT
from epochal.core.tensors.task import Fields, Split
from epochal.engine.program import Program

EVALUATION_ROWS = 4096
"""Examples per forward pass of an evaluation: bounds the memory of activations."""


class LiveView:
    """One member of a program; lives inside ``vmap`` and keeps what was computed for other probes."""

    def __init__(
        self,
        program: Program,
        *,
        step: int,
        flat: Float[Tensor, " P"],
        buffers: Float[Tensor, " Q"],
        initial: Float[Tensor, " P"],
        fields: Fields,
    ) -> None:
        self.step = step
        self.fields = fields
        self.flat = flat
        self.initial = initial
        self._program = program
        self._buffers = program.network.buffer_layout.unflatten(buffers)
        self._data: dict[Split, Batch] = {}
        self._logits: dict[Split, Tensor] = {}

    @property
    def layout(self) -> Layout:
        return self._program.network.layout

    @property
    def params(self) -> Mapping[str, Tensor]:
        return self.layout.unflatten(self.flat)

    def data(self, split: Split) -> Batch:
        if split not in self._data:
            task = self._program.task
            key = random.key(self.fields["seed"], "probe", self.step)
            self._data[split] = task.batch(task.index(split, self.fields), self.fields, key)
        return self._data[split]

    def logits(self, split: Split) -> Float[Tensor, "N C"]:
        if split not in self._logits:
            params, inputs = self.params, self.data(split).inputs
            chunks = [
                self._program.network(params, self._buffers, part) for part in inputs.split(EVALUATION_ROWS)
            ]
            self._logits[split] = torch.cat(chunks)
        return self._logits[split]

    def loss_gradient(self, split: Split) -> Float[Tensor, " P"]:
        """Gradient of the objective on the whole split, in evaluation mode."""
        program, batch = self._program, self.data(split)

        def loss(flat: Float[Tensor, " P"]) -> Float[Tensor, ""]:
            params = self.layout.unflatten(flat)
            key = random.key(self.fields["seed"], "probe", self.step)
            value, _ = program.objective(
                lambda inputs: program.network(params, self._buffers, inputs, SILENT),
                batch,
                self.fields,
                {},
                key,
            )
            return value

        gradient: Tensor = torch.func.grad(loss)(self.flat)
        return gradient
