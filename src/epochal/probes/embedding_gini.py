"""Gini coefficient of the embedding's Fourier spectrum: how few frequencies hold it."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.probes.modular.closed_form import closed_form
from epochal.probes.modular.shares import share
from epochal.probes.modular.waves import power
from epochal.probes.modular.weights import WeightOptions, profiles


@probe(
    columns=("embedding_gini",),
    unit="fraction",
    low=0.0,
    high=1.0,
    null="0 for a flat spectrum; little above it for random weights, about 0.28 / sqrt(width)",
    cost="one pass over a weight matrix",
    source="Nanda et al. 2023, section 5.1; norms of the frequencies from 1 on, without the constant",
)
def embedding_gini(options: WeightOptions, view: View) -> dict[str, Tensor]:
    """Half the mean absolute difference of two norms over their mean: ``1 - k / F`` for k equal ones of F.

    0 for an embedding of zeros.
    """
    return {"embedding_gini": gini(power(profiles(view, options.parameter)).sum(-1)[1:].sqrt())}


def gini(values: Float[Tensor, " F"]) -> Float[Tensor, ""]:
    ascending = values.sort().values
    place = torch.arange(1, len(ascending) + 1, dtype=ascending.dtype, device=ascending.device)
    weighted = ((2 * place - len(ascending) - 1) * ascending).sum()
    return share(weighted, len(ascending) * ascending.sum())


def truth() -> Iterator[tuple[Any, ...]]:
    yield closed_form(11, {2: 3.0, 5: 4.0}), {"embedding_gini": 1 - 2 / 5}
    yield closed_form(7, {1: 1.0, 2: 1.0, 3: 1.0}), {"embedding_gini": 0.0}
