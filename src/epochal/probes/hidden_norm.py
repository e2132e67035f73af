"""Length of what passes each site: of the residual stream, where the network has one."""

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
from epochal.probes.sites.rows import lengths


@probe(
    columns={"hidden_norm": 1},
    unit="1",
    low=0.0,
    high=math.inf,
    null="its value at step 0, where training leaves the stream alone",
    cost="one forward pass over probe_samples examples, shared with other probes of sites",
    source="median over examples of the l2 norm over features, as snapshot-evolution scripts log it",
    labels=named("hidden_norm"),
)
def hidden_norm(options: NoOptions, view: View) -> dict[str, Tensor]:
    """One number per site: the median (lower one of an even number) over examples of each one's norm.

    Over all features of an example, never over the batch: it does not grow with the number of examples.
    """
    found = [lengths(value).median(-1).values for value in view.passage().activations.values()]
    return {"hidden_norm": torch.stack(found)}


def truth() -> Iterator[tuple[Any, ...]]:
    # Lengths 5, 1, 10 and twice that.
    yield chain(), {"hidden_norm": [5.0, 10.0]}
