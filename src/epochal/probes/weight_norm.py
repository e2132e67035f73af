"""Euclidean norm of all parameters."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import NoOptions


@probe(
    columns=("weight_norm",),
    unit="1",
    low=0.0,
    high=math.inf,
    null="its value at step 0, where training leaves the norm alone",
    cost="one pass over the parameters",
    source="l2 norm over every parameter, as in Liu et al. 2023 (Omnigrok), section 2",
)
def weight_norm(options: NoOptions, view: View) -> dict[str, Tensor]:
    """0 for a network of zeros."""
    return {"weight_norm": torch.linalg.vector_norm(view.flat.double())}


def truth() -> Iterator[tuple[View, dict[str, float]]]:
    params = {"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([[0.0], [-4.0]])}
    yield GivenView(given_params=params), {"weight_norm": 5.0}
    yield GivenView(given_params={"a": torch.full((4, 4), 0.5)}), {"weight_norm": 2.0}
