"""Multilayer perceptron on all tokens of a short sequence at once.

Sources: MIML-grokking's (one-hot vectors, ReLU, dropout); Gromov 2023, "Grokking modular arithmetic",
equations 1 and 2 (one-hot vectors, squares, no biases, mean-field scales); Liu et al. 2022 and Prieto et al.
2025 (learned embeddings, concatenated).
"""

import itertools
import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from epochal.core.tensors.tap import SILENT, Tap
from epochal.models.dense import dense
from epochal.models.one_hot import OneHot

Activation = Literal["relu", "gelu", "quadratic"]
Embedding = Literal["auto", "learned", "onehot"]
Parametrization = Literal["standard", "mean_field"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": nn.functional.relu,
    "gelu": nn.functional.gelu,
    "quadratic": torch.square,
}


class MLP(nn.Module):
    """Tokens ``[B, S]`` to logits ``[B, C]`` through ``depth`` hidden layers of ``width`` units.

    ``embedding="onehot"``: the first layer acts on the tokens' one-hot vectors, concatenated; ``"learned"``:
    on their embeddings ``[B, S D]``, D as wide as a hidden layer. Logits are ``[B, T, C]`` for an
    ``answer_length`` T above 1. ``parametrization="mean_field"`` divides what a hidden layer gets by the root
    of its number of inputs D and the logits by theirs, N: ``W2 phi(W1 x / sqrt(D)) / N``, for weights of
    order 1.

    Sites: ``embed [B, S, D]`` where embeddings are learned; ``layer.l [B, D]``, the activations of hidden
    layer l, before dropout (of that rate, in training). ``bias=False`` leaves out all biases.
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        sequence_length: int,
        num_classes: int,
        width: int,
        depth: int,
        activation: Activation = "relu",
        embedding: Embedding = "auto",
        mlp_bias: bool = True,
        readout_bias: bool = False,
        parametrization: Parametrization = "standard",
        dropout: float = 0.0,
        answer_length: int = 1,
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.dropout = dropout
        self.answer = (answer_length, num_classes)
        learned = embedding == "learned"  # auto is one-hot
        self.embed = nn.Embedding(vocabulary, width) if learned else None
        sizes = [sequence_length * (width if learned else vocabulary), *[width] * depth]
        self.layer = nn.ModuleList(
            OneHot(vocabulary, after, slots=sequence_length, bias=mlp_bias)
            if place == 0 and not learned
            else nn.Linear(before, after, bias=mlp_bias)
            for place, (before, after) in enumerate(itertools.pairwise(sizes))
        )
        self.readout = nn.Linear(sizes[-1], math.prod(self.answer), bias=readout_bias)
        is_scaled = parametrization == "mean_field"
        self.scales = [1 / math.sqrt(size) if is_scaled else 1.0 for size in sizes[:-1]]
        self.readout_scale = 1 / sizes[-1] if is_scaled else 1.0

    def forward(self, tokens: Int64[Tensor, "B S"], tap: Tap = SILENT) -> Float[Tensor, "B *answer C"]:
        h: Tensor = tokens
        if self.embed is not None:
            h = tap("embed", nn.functional.embedding(tokens, self.embed.weight)).flatten(-2)
        for place, (layer, scale) in enumerate(zip(self.layer, self.scales, strict=True)):
            site = f"layer.{place}"
            h = dense(layer, h) if isinstance(layer, nn.Linear) else layer(h)
            h = tap(site, self.activation(tap.before(site, h if scale == 1.0 else h * scale)))
            h = tap.dropout(site, h, self.dropout)
        logits = dense(self.readout, h)
        logits = logits if self.readout_scale == 1.0 else logits * self.readout_scale
        return logits if self.answer[0] == 1 else logits.unflatten(-1, self.answer)


model = MLP
