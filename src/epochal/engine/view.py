"""The view that probes get during training and afterwards."""

from collections.abc import Callable, Mapping
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.layout import Layout
from epochal.core.tensors.tap import SILENT, Tap, recording
from epochal.core.tensors.task import Fields, Split, Task
from epochal.engine.program import Program

EVALUATION_ROWS = 8192
"""Examples per forward pass of an evaluation, all members together: bounds the memory of activations."""

SMALLEST_PIECE = 64


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
        self._seen: dict[Split, tuple[Tensor, Tensor]] = {}
        self._activations: dict[Split, dict[str, Tensor]] = {}

    @property
    def task(self) -> Task:
        return self._program.task

    @property
    def layout(self) -> Layout:
        return self._program.network.layout

    @cached_property
    def params(self) -> Mapping[str, Tensor]:
        return self.layout.unflatten(self.flat)

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        return self._buffers

    def data(self, split: Split) -> Batch:
        if split not in self._data:
            self._data[split] = self._batch(self._program.task.index(split, self.fields))
        return self._data[split]

    def logits(self, split: Split) -> Float[Tensor, "N C"]:
        return self._evaluated(split)[0]

    def targets(self, split: Split) -> Int64[Tensor, " N"]:
        return self._evaluated(split)[1]

    def activations(self, split: Split) -> Mapping[str, Float[Tensor, "N ..."]]:
        if split not in self._activations:
            sites: dict[str, list[Tensor]] = {}

            def forward(inputs: Tensor) -> Tensor:
                tap, seen = recording()
                logits = self._logits(inputs, tap)
                for site, value in seen.items():
                    sites.setdefault(site, []).append(value)
                return logits

            self._seen[split] = self._in_pieces(split, forward)
            self._activations[split] = {site: torch.cat(pieces) for site, pieces in sites.items()}
        return self._activations[split]

    def _evaluated(self, split: Split) -> tuple[Float[Tensor, "N C"], Int64[Tensor, " N"]]:
        if split not in self._seen:
            self._seen[split] = self._in_pieces(split, lambda inputs: self._logits(inputs, SILENT))
        return self._seen[split]

    def _logits(self, inputs: Tensor, tap: Tap) -> Float[Tensor, "B C"]:
        return self._program.network(self.params, self._buffers, inputs, tap)

    def _in_pieces(
        self, split: Split, forward: Callable[[Tensor], Tensor]
    ) -> tuple[Float[Tensor, "N C"], Int64[Tensor, " N"]]:
        """Logits and targets of a split, a bounded number of examples at a time."""
        pieces = []
        rows = max(SMALLEST_PIECE, EVALUATION_ROWS // self._program.num_members)
        for index in self._program.task.index(split, self.fields).split(rows):
            batch = self._batch(index)
            pieces.append((forward(batch.inputs), batch.targets))
        return torch.cat([seen for seen, _ in pieces]), torch.cat([true for _, true in pieces])

    def _batch(self, index: Int64[Tensor, " B"]) -> Batch:
        key = random.key(self.fields["seed"], "probe", self.step)
        return self._program.task.batch(index, self.fields, key)

    def loss_gradient(self, split: Split) -> Float[Tensor, " P"]:
        """Gradient of the objective on the whole split, in evaluation mode."""
        gradient: Tensor = torch.func.grad(lambda flat: self.loss_at(split, flat))(self.flat)
        return gradient

    def loss_at(self, split: Split, flat: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """The objective on the whole split with other parameters, in evaluation mode; differentiable."""
        program, params = self._program, self.layout.unflatten(flat)
        value, _ = program.objective(
            lambda inputs: program.network(params, self._buffers, inputs, SILENT),
            self.data(split),
            self.fields,
            {},
            random.key(self.fields["seed"], "probe", self.step),
        )
        return value
