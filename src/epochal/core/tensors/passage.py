"""The passage of fixed examples through a network: what every site held, and the loss's gradient there."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.precision import wide
from epochal.core.tensors.tap import Tap

Run = Callable[[Tensor, Tap], Tensor]
"""A network with its parameters: from inputs and a tap to logits ``[N, C]``."""

Loss = Callable[[Callable[[Tensor], Tensor], Batch], Tensor]
"""The objective: from the function of inputs to logits, and the batch, to the mean loss."""


class Passage:
    """One forward pass in evaluation mode, and one backward pass once a gradient is asked for.

    The network is ``run``, the one that is trained: its own sites are seen on its own way to the logits.
    """

    def __init__(self, run: Run, loss: Loss, batch: Batch) -> None:
        self.batch = batch
        self._run = run
        self._loss = loss
        shapes: dict[str, Tensor] = {}

        def look(site: str, activation: Tensor) -> Tensor:
            shapes[site] = activation
            return activation

        run(batch.inputs[:1], Tap(edit=look))  # one example tells the sites and their shapes
        zeros = {site: h.new_zeros((len(batch.targets), *h.shape[1:])) for site, h in shapes.items()}
        passed: Any = torch.func.vjp(self._shifted, zeros, has_aux=True)
        self.logits: Float[Tensor, "N C"] = passed[0]
        self._pull, self._seen = passed[1], passed[2]

    @property
    def activations(self) -> Mapping[str, Float[Tensor, "N ..."]]:
        """What passed each site, in the order of the network."""
        seen: Mapping[str, Tensor] = self._seen
        return seen

    @cached_property
    def gradients(self) -> Mapping[str, Float[Tensor, "N ..."]]:
        """The gradient of each example's own loss at each site, float64; the sum's, not the mean's.

        Linear in the error at the logits, example by example. So the error is computed in float64 and each
        example's is sent back at length 1: nothing underflows, however small the loss has become, and no
        number depends on how many examples there are.
        """
        return {
            site: slope * self.error_lengths.reshape(-1, *[1] * (slope.ndim - 1))
            for site, slope in self.directions.items()
        }

    @cached_property
    def directions(self) -> Mapping[str, Float[Tensor, "N ..."]]:
        """The gradients over :attr:`error_lengths`: their direction, at a size that is safe, float64."""
        length = self.error_lengths[:, None]
        unit = self.errors / torch.where(length == 0, 1.0, length)
        found: Mapping[str, Tensor] = self._pull(unit.to(self.logits.dtype))[0]
        return {site: slope.to(length.dtype) for site, slope in found.items()}

    @cached_property
    def error_lengths(self) -> Float[Tensor, " N"]:
        """Euclidean length of each example's :attr:`errors`, float64."""
        found: Tensor = torch.linalg.vector_norm(self.errors, dim=-1)
        return found

    @cached_property
    def errors(self) -> Float[Tensor, "N C"]:
        """Slope of each example's own loss in its logits, float64; for cross-entropy softmax - one-hot."""
        batch = self.batch

        def total(logits: Tensor) -> Tensor:
            def logits_of(inputs: Tensor) -> Tensor:
                is_whole = inputs is batch.inputs
                return logits if is_whole else self._run(inputs, Tap()).to(logits.dtype)

            return self._loss(logits_of, batch) * batch.weight.sum()

        found: Tensor = torch.func.grad(total)(self.logits.to(wide(self.logits.device)))
        return found

    def _shifted(self, shifts: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        seen: dict[str, Tensor] = {}

        def shift(site: str, activation: Tensor) -> Tensor:
            seen[site] = activation
            return activation + shifts[site]

        return self._run(self.batch.inputs, Tap(edit=shift)), seen
