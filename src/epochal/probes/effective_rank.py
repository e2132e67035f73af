"""Over how many directions the activations of each site spread."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.core.values.options import NoOptions
from epochal.probes.sites import spectrum
from epochal.probes.sites.example import chain
from epochal.probes.sites.names import named
from epochal.probes.sites.rows import rows


@probe(
    columns={"effective_rank": 1},
    unit="directions",
    low=0.0,
    high=math.inf,
    null="1, where all examples point the same way; at most the smaller of examples and features",
    cost="one forward pass over probe_samples examples, and the singular values of a matrix per site",
    source="Roy & Vetterli 2007: exp of the entropy of the singular values over their sum; not centred",
    labels=named("effective_rank"),
)
def effective_rank(options: NoOptions, view: View) -> dict[str, Tensor]:
    """One number per site, of the matrix of examples times all features; 0 where nothing passes."""
    found = [
        spectrum.effective_rank(spectrum.singular_values(rows(value)))
        for value in view.passage().activations.values()
    ]
    return {"effective_rank": torch.stack(found)}


def truth() -> Iterator[tuple[Any, ...]]:
    # Gram matrix [[45, 60], [60, 81]]: singular values s of [[3, 4], [0, 1], [6, 8]].
    spread = math.sqrt((45 - 81) ** 2 + 4 * 60**2)
    first, second = (math.sqrt((126 + sign * spread) / 2) for sign in (1, -1))
    share = first / (first + second)
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    yield chain(), {"effective_rank": [math.exp(entropy)] * 2}
