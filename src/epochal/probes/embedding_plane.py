"""Where the embeddings of the numbers lie, in two planes: for a drawing of the circle."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.probes.modular.circle import CircleOptions, circle_of
from epochal.probes.modular.closed_form import closed_form
from epochal.probes.modular.principal import principal
from epochal.probes.modular.weights import profiles


@probe(
    columns={"principal_1": 1, "principal_2": 1, "circle_1": 1, "circle_2": 1, "circle_frequency": 0},
    unit="1",
    low=-math.inf,
    high=math.inf,
    null="a cloud about 0",
    cost="eigenvectors of a matrix of numbers times numbers",
    source="first two principal components as in Liu et al. 2022, figure 1; the plane as in embedding_circle",
)
def embedding_plane(options: CircleOptions, view: View) -> dict[str, Tensor]:
    """Coordinates of every number (by its discrete logarithm for products), in both planes.

    ``principal_1``, ``principal_2``: along the two directions of largest variance, about the mean; a
    direction's sign is that of its largest coordinate. ``circle_1``, ``circle_2``: in the plane of frequency
    ``circle_frequency``.
    """
    rows = profiles(view, options.parameter)
    coordinates, circle = principal(rows).coordinates, circle_of(rows, options.frequency)
    return {
        "principal_1": coordinates[:, 0],
        "principal_2": coordinates[:, 1],
        "circle_1": circle.points[:, 0],
        "circle_2": circle.points[:, 1],
        "circle_frequency": circle.frequency.double(),
    }


def truth() -> Iterator[tuple[Any, ...]]:
    stretched = closed_form(7, {2: 1.0})
    stretched.given_params = {"embed.weight": stretched.given_params["embed.weight"] * torch.tensor([2, 1])}
    angle = 2 * math.pi / 7 * 2 * torch.arange(7).double()
    wide, high = (2 * angle.cos()).tolist(), angle.sin()
    sign = high[high.abs().argmax()].sign()
    yield (
        stretched,
        {
            "principal_1": wide,
            "principal_2": (sign * high).tolist(),
            "circle_1": wide,
            "circle_2": high.tolist(),
            "circle_frequency": 2,
        },
    )
