"""Root mean square of every parameter tensor: its norm over the square root of its size."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import NoOptions


def _labels(options: NoOptions, view: View) -> Mapping[str, Sequence[str]]:
    return {"paramnorm": view.layout.names}


@probe(
    columns={"paramnorm": 1},
    unit="1",
    low=0.0,
    high=math.inf,
    null="its value at step 0, where training leaves the norm alone",
    cost="one pass over the parameters",
    source="l2 norm / sqrt(number of elements), paramnorm_NAME of openai/grok and MIML-grokking",
    labels=_labels,
)
def paramnorm(options: NoOptions, view: View) -> dict[str, Tensor]:
    """One number per tensor, in the order of the parameters; the table of ``epochal probe`` names them."""
    norms = [
        torch.linalg.vector_norm(value.double()) / math.sqrt(value.numel()) for value in view.params.values()
    ]
    return {"paramnorm": torch.stack(norms)}


def truth() -> Iterator[tuple[View, dict[str, object]]]:
    params = {"a": torch.tensor([3.0, 0.0, 0.0, 4.0]), "b": torch.full((4, 4), -0.5)}
    yield GivenView(given_params=params), {"paramnorm": [2.5, 0.5]}
