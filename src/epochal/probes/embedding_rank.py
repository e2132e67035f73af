"""Effective rank of the embedding: over how many directions it spreads."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.probes.modular.closed_form import closed_form
from epochal.probes.modular.principal import principal
from epochal.probes.modular.shares import share
from epochal.probes.modular.weights import WeightOptions, profiles


@probe(
    columns=("embedding_effective_rank", "embedding_participation_ratio"),
    unit="directions",
    low=0.0,
    high=math.inf,
    null="near the smaller of numbers and width, for random weights",
    cost="eigenvalues of a matrix of numbers times numbers",
    source="Roy & Vetterli 2007 (exp of the singular values' entropy); (sum v)^2 / sum v^2 of variances v",
)
def embedding_rank(options: WeightOptions, view: View) -> dict[str, Tensor]:
    """Of the rows that stand for numbers, their mean taken off: 2 for a circle; 0 where all are equal."""
    variances = principal(profiles(view, options.parameter)).variances
    singular = variances.sqrt()
    shares = share(singular, singular.sum())
    entropy = -torch.special.xlogy(shares, shares).sum()
    is_flat = variances.sum() == 0
    return {
        "embedding_effective_rank": torch.where(is_flat, 0.0, entropy.exp()),
        "embedding_participation_ratio": share(variances.sum() ** 2, (variances**2).sum()),
    }


def truth() -> Iterator[tuple[Any, ...]]:
    four = {"embedding_effective_rank": 4.0, "embedding_participation_ratio": 4.0}
    yield closed_form(11, {2: 3.0, 5: 4.0}), four
    scaled = closed_form(11, {2: 3.0, 5: 4.0})
    stretched = scaled.given_params["embed.weight"] * torch.tensor([2.0, 2.0, 1.0, 1.0])
    scaled.given_params = {"embed.weight": stretched}
    third = 1 / 3  # singular values 2, 2, 1, 1
    entropy = -2 * (third * math.log(third) + third / 2 * math.log(third / 2))
    yield (
        scaled,
        {"embedding_effective_rank": math.exp(entropy), "embedding_participation_ratio": 10**2 / 34},
    )
