"""Multilayer perceptron: images or vectors, flattened, through hidden layers of one width."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from epochal.core.tensors.tap import SILENT, Tap
from epochal.models.dense import dense

Activation = Literal["relu", "gelu", "tanh"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": nn.functional.relu,
    "gelu": nn.functional.gelu,
    "tanh": torch.tanh,
}


class MLP(nn.Module):
    """Inputs ``[B, ...]`` to logits ``[B, C]`` through ``depth`` hidden layers; ``depth=0`` is linear.

    Sites: ``layer.l [B, D]``, the activations of hidden layer l, before dropout (of that rate, in training).
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        num_classes: int,
        depth: int,
        width: int,
        activation: Activation = "relu",
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.dropout = dropout
        sizes = [num_inputs, *[width] * depth]
        self.layer = nn.ModuleList(
            nn.Linear(before, after, bias=bias) for before, after in itertools.pairwise(sizes)
        )
        self.readout = nn.Linear(sizes[-1], num_classes, bias=bias)

    def forward(self, inputs: Float[Tensor, "B ..."], tap: Tap = SILENT) -> Float[Tensor, "B C"]:
        h = inputs.flatten(1)
        for place, layer in enumerate(self.layer):
            assert isinstance(layer, nn.Linear)
            site = f"layer.{place}"
            h = dense(layer, h) if place else tap.enter(partial(dense, layer), h)
            h = tap(site, self.activation(tap.before(site, h)))
            h = tap.dropout(site, h, self.dropout)
        return dense(self.readout, h)


model = MLP
