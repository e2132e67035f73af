"""Size of what passes each site."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.core.values.options import NoOptions
from epochal.probes.sites.example import chain
from epochal.probes.sites.names import named
from epochal.probes.sites.rows import rows


@probe(
    columns={"activation_scale": 1},
    unit="1",
    low=0.0,
    high=math.inf,
    null="its value at step 0, where training leaves activations alone",
    cost="one forward pass over probe_samples examples, shared with other probes of sites",
    source="root mean square over examples and features, as initialisations keep it (He et al. 2015)",
    labels=named("activation_scale"),
)
def activation_scale(options: NoOptions, view: View) -> dict[str, Tensor]:
    """One number per site: the root mean square over all examples and features; free of their number."""
    found = [rows(value).square().mean().sqrt() for value in view.passage().activations.values()]
    return {"activation_scale": torch.stack(found)}


def truth() -> Iterator[tuple[Any, ...]]:
    # The squares of (3, 4), (0, 1), (6, 8) add up to 126.
    yield chain(), {"activation_scale": [math.sqrt(126 / 6), 2 * math.sqrt(126 / 6)]}
