"""The tap: the one seam through which activations are seen and changed.

A model calls ``h = tap("block.0", h)`` at each of its named sites. The silent tap gives ``h`` back; a
recording one keeps it; an edit may detach, replace or add to it (local rules, interventions, gradients
with respect to a site by adding zeros).

Beside the sites there is a silent channel: what a unit gets before its non-linearity (``before``), and the
linear map that the inputs meet first (``enter``). No rule acts there and nothing is recorded; both cost a
comparison with None where nobody listens.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.precision import wide
from epochal.core.tensors.random import Key

Edit = Callable[[str, Tensor], Tensor]

Watch = Callable[[str, Tensor], None]
"""Told the pre-activations of a layer of units. They are to be read at once: the non-linearity may work in
place. A layer that is used at several positions in turn is named once per position."""

Linear = Callable[[Tensor], Tensor]
"""``x -> W x + b``, row by row."""

Entry = Callable[[Linear, Tensor], Tensor]
"""Gives what a network's first linear map makes of its inputs, row by row, in whatever way it knows."""


@dataclass(frozen=True, kw_only=True)
class Tap:
    """What a forward pass is told about its surroundings: whether it trains, who listens, what noise to draw.

    ``key`` is the member's at this step; only dropout needs it.
    """

    training: bool = False
    edit: Edit | None = None
    key: Key | None = None
    watch: Watch | None = None
    entry: Entry | None = None

    def __call__(self, site: str, activation: Tensor) -> Tensor:
        return activation if self.edit is None else self.edit(site, activation)

    def before(self, units: str, pre_activation: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """``relu(tap.before("layer.0", z))``: tells who watches about ``z``, and gives it back unchanged."""
        if self.watch is not None:
            self.watch(units, pre_activation)
        return pre_activation

    def enter(self, linear: Linear, inputs: Tensor) -> Tensor:
        """``linear(inputs)``, of the map that the inputs of a network meet before anything else.

        Who knows how the inputs hang together may have its rows for less (:data:`Entry`).
        """
        return linear(inputs) if self.entry is None else self.entry(linear, inputs)

    def dropout(
        self, site: str, activation: Float[Tensor, "*shape"], rate: float | Float[Tensor, ""]
    ) -> Float[Tensor, "*shape"]:
        """Zeros each number with probability ``rate`` and divides the others by ``1 - rate``, in training.

        Unchanged outside training or for ``rate=0``. The mask is a function of key, site name and place:
        independent between sites, steps and members, and the same however often it is asked for. A
        tensor of rates varies among members; ``rate=1`` leaves zeros. Source: Srivastava et al. 2014,
        section 10 (scaled at training time, not at test time).
        """
        if not self.training or (not isinstance(rate, Tensor) and rate == 0):
            return activation
        assert self.key is not None, f"dropout at {site} needs Tap(key=...)"
        own, shape = random.fold(self.key, site), tuple(activation.shape)
        # The mask, not the activation, is divided: infinities at rate 1 would make the gradient NaN. Choosing
        # among numbers at random (``where``) would take ten times as long as multiplying them.
        if isinstance(rate, Tensor):
            keep = 1.0 - rate.to(activation.device, wide(activation.device))
            is_kept = random.bernoulli(own, shape, keep).view(torch.uint8)
            scale = torch.where(keep > 0, 1.0 / keep, 0.0).to(activation.dtype)
            return activation * (is_kept.to(activation.dtype) * scale)
        mask = random.mask(own, shape, 1.0 - rate).to(activation.dtype).mul_(1.0 / (1.0 - rate))
        return activation * mask


SILENT = Tap()


def recording(*, training: bool = False, key: Key | None = None) -> tuple[Tap, dict[str, Tensor]]:
    """A tap and the dictionary that it fills with the activation of every site, in the order of visits."""
    seen: dict[str, Tensor] = {}

    def keep(site: str, activation: Tensor) -> Tensor:
        seen[site] = activation
        return activation

    return Tap(training=training, edit=keep, key=key), seen
