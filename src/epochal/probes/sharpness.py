"""Sharpness: by how much the loss can rise within a small box around the parameters, in a random subspace."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import Options


class SharpnessOptions(Options):
    """The box, and how hard the largest loss in it is looked for."""

    epsilon: float = Field(
        default=1e-3, gt=0, description="half width of the box, relative to 1 + |coordinate|"
    )
    dimensions: int = Field(default=10, ge=1, le=1000, description="of the random subspace")
    searches: int = Field(default=1, ge=1, le=100, description="corners from which the search starts")
    passes: int = Field(default=3, ge=1, le=100, description="gradients of each search")


@probe(
    columns=("sharpness",),
    unit="percent",
    low=0.0,
    high=math.inf,
    null="0, where the loss is flat",
    cost="1 + searches x passes forward and backward passes over the training set, by default 4",
    source="Keskar et al. 2017, metric 2.1: 100 (max f - f) / (1 + f); openai/grok minimises instead",
)
def sharpness(options: SharpnessOptions, view: View) -> dict[str, Tensor]:
    """Of the training objective. A lower bound of the maximum, exact where the loss is linear or separable in
    the box.

    Directions have length 1, as in openai/grok, hence the numbers are small: raise ``epsilon`` where they
    drown in rounding. The subspace is that of a seed: the same at every step, spanned by normal directions of
    length 1. Coordinate i of the box reaches ``epsilon (|(A^+ x)_i| + 1)``. A search moves to the corner that
    the gradient points to, which on a convex loss never lowers it; one starts at the parameters, the others
    at random corners.
    """
    flat = view.flat
    key = random.fold(random.key(view.fields.get("seed", 0), "sharpness"), options.dimensions)
    directions = random.normal(key.to(flat.device), (flat.shape[-1], options.dimensions), flat.dtype)
    directions = directions / torch.linalg.vector_norm(directions, dim=0)
    reach = options.epsilon * (_coordinates(directions, flat).abs() + 1)

    def loss(place: Float[Tensor, " D"]) -> Float[Tensor, ""]:
        return view.loss_at("train", flat + directions @ place)

    ascent = torch.func.grad_and_value(loss)
    start = torch.zeros_like(reach)
    gradient, here = ascent(start)
    largest = here
    for search in range(options.searches):
        signs = random.bernoulli(random.fold(key, search), (options.dimensions,), 0.5).to(flat.device)
        corner = gradient.sign() if search == 0 else torch.where(signs, 1.0, -1.0).to(flat.dtype)
        # At a stationary point the gradient names no corner, and the middle of the box would stay there.
        corner = torch.where(corner == 0, torch.where(signs, 1.0, -1.0).to(flat.dtype), corner)
        for _ in range(options.passes):
            slope, value = ascent(reach * corner)
            largest = torch.maximum(largest, value)
            corner = torch.where(slope == 0, corner, slope.sign())
    here, largest = here.double(), largest.double()
    return {"sharpness": (largest - here) / (1 + here) * 100}


def _coordinates(directions: Float[Tensor, "P D"], flat: Float[Tensor, " P"]) -> Float[Tensor, " D"]:
    """``A^+ x``, by the normal equations; ridged to the rounding of nearly dependent directions."""
    gram = directions.T @ directions
    ridge = torch.finfo(gram.dtype).eps * len(gram)
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    solved: Tensor = torch.linalg.solve_ex(gram + ridge * identity, directions.T @ flat).result
    return solved


def truth() -> Iterator[tuple[Any, ...]]:
    one = SharpnessOptions(epsilon=0.01, dimensions=1)
    place = {"w": torch.tensor([3.0], dtype=torch.float64)}
    # In one dimension the box is 3 +- 0.01 (3 + 1), whatever the sign of the direction.
    yield (
        one,
        GivenView(given_params=place, given_loss=lambda flat: (flat**2).sum()),
        {"sharpness": (3.04**2 - 9) / 10 * 100},
    )
    yield (
        one,
        GivenView(given_params=place, given_loss=lambda flat: 2 * ((flat - 3) ** 2).sum()),
        {"sharpness": 2 * 0.04**2 * 100},
    )
    yield (
        one,
        GivenView(given_params=place, given_loss=lambda flat: 0 * flat.sum() + 7),
        {"sharpness": 0.0},
    )
