"""Sum of the squares of all parameters, which weight decay pulls down."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import NoOptions


@probe(
    columns=("sum_of_squared_weights",),
    unit="1",
    low=0.0,
    high=math.inf,
    null="its value at step 0, where training leaves the norm alone",
    cost="one pass over the parameters",
    source="Nanda et al. 2023, section 5.1; the square of weight_norm",
)
def sum_of_squared_weights(options: NoOptions, view: View) -> dict[str, Tensor]:
    """0 for a network of zeros."""
    return {"sum_of_squared_weights": (view.flat.double() ** 2).sum()}


def truth() -> Iterator[tuple[View, dict[str, float]]]:
    params = {"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([[0.0], [-4.0]])}
    yield GivenView(given_params=params), {"sum_of_squared_weights": 25.0}
