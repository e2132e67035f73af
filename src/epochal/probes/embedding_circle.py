"""Do the embeddings of the numbers lie on a circle, in order?"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.probes.modular.circle import CircleOptions, circle_of
from epochal.probes.modular.closed_form import closed_form
from epochal.probes.modular.weights import profiles


@probe(
    columns=("circle_variance", "circle_roundness", "circle_order"),
    unit="fraction",
    low=0.0,
    high=1.0 + 1e-9,
    null="random weights: a little above 2 / p; near 1; about 0.8 at p = 97 and width 128",
    cost="one pass over a weight matrix",
    source="Liu et al. 2022 (circular embeddings), in the plane of one frequency as in Nanda et al. 2023",
)
def embedding_circle(options: CircleOptions, view: View) -> dict[str, Tensor]:
    """In the plane of the strongest frequency f (or a given one) of the embedding; 1 for a circle in order.

    ``circle_variance``: share of the embedding's variance at f. ``circle_roundness``: the smaller axis of the
    ellipse over the larger. ``circle_order``: mean resultant length of the angle in the plane minus ``2 pi f
    k / p``, 1 where every number k stands in its direction. The plane is chosen by the weights, hence order
    is high for random ones.
    """
    circle = circle_of(profiles(view, options.parameter), options.frequency)
    x, y = circle.points.unbind(-1)
    length = torch.hypot(x, y)
    length = torch.where(length == 0, 1.0, length)
    cosine, sine = circle.angles.cos(), circle.angles.sin()
    along = ((x * cosine + y * sine) / length).mean()
    across = ((y * cosine - x * sine) / length).mean()
    return {
        "circle_variance": circle.variance,
        "circle_roundness": circle.roundness,
        "circle_order": torch.hypot(along, across),
    }


def truth() -> Iterator[tuple[Any, ...]]:
    one, two = closed_form(11, {3: 1.0}), closed_form(11, {2: 3.0, 5: 4.0})
    yield one, {"circle_variance": 1.0, "circle_roundness": 1.0, "circle_order": 1.0}
    yield (
        CircleOptions(frequency=5),
        two,
        {"circle_variance": 0.5, "circle_roundness": 1.0, "circle_order": 1.0},
    )
    # Cosines alone are a line: every number lies at angle 0 or pi, which is |cos| / p of order.
    line = closed_form(11, {3: 1.0})
    cosines = line.given_params["embed.weight"][:, :1]
    line.given_params = {"embed.weight": cosines}
    order = cosines.abs().mean().item()
    yield line, {"circle_variance": 1.0, "circle_roundness": 0.0, "circle_order": order}
