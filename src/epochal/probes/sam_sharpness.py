"""By how much the loss rises one step of fixed length up its gradient."""

import math
from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import Options


class RadiusOptions(Options):
    """How far."""

    radius: float = Field(default=0.05, gt=0, description="length of the step, as rho in SAM")


@probe(
    columns=("sam_sharpness",),
    unit="nat",
    low=-math.inf,
    high=math.inf,
    null="0, where the loss is flat",
    cost="two forward and one backward pass over the training set",
    source="Foret et al. 2021, equation 2 (rho = 0.05, p = 2), on the whole training set",
)
def sam_sharpness(options: RadiusOptions, view: View) -> dict[str, Tensor]:
    """``f(x + rho g / |g|) - f(x)`` of the training objective; 0 where g is. Below 0 only far from linear."""
    gradient, here = torch.func.grad_and_value(lambda flat: view.loss_at("train", flat))(view.flat)
    norm = torch.linalg.vector_norm(gradient)
    direction = torch.where(norm == 0, 0.0, gradient / torch.where(norm == 0, 1.0, norm))
    above = view.loss_at("train", view.flat + options.radius * direction)
    return {"sam_sharpness": above.double() - here.double()}


def truth() -> Iterator[tuple[View, dict[str, float]]]:
    params = {"w": torch.tensor([3.0, 4.0], dtype=torch.float64)}
    yield (
        GivenView(given_params=params, given_loss=lambda flat: (flat**2).sum()),
        {"sam_sharpness": 5.05**2 - 25},
    )
    yield GivenView(given_params=params, given_loss=lambda flat: 0 * flat.sum()), {"sam_sharpness": 0.0}
