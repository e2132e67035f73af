"""Euclidean norm of the gradient of the training loss over the whole training set."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import NoOptions


@probe(
    columns=("gradient_norm",),
    unit="nat",
    low=0.0,
    high=math.inf,
    null="0, at a stationary point",
    cost="one forward and one backward pass over the training set",
    source="l2 norm of the full-batch gradient with respect to every parameter",
)
def gradient_norm(options: NoOptions, view: View) -> dict[str, Tensor]:
    """Free of minibatch noise, whatever the batch size of training."""
    return {"gradient_norm": torch.linalg.vector_norm(view.loss_gradient("train").double())}


def truth() -> Iterator[tuple[View, dict[str, float]]]:
    yield GivenView(given_gradients={"train": [3.0, -4.0, 0.0]}), {"gradient_norm": 5.0}
    yield GivenView(given_gradients={"train": [0.0, 0.0]}), {"gradient_norm": 0.0}
