"""A few examples as images: what a network is shown, and where its evidence lies; for a figure."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from epochal.core.tensors.precision import wide
from epochal.core.tensors.probe import Rank, probe
from epochal.core.tensors.view import View
from epochal.core.values.options import Options
from epochal.probes.shortcuts import needs
from epochal.probes.shortcuts.example import core_reader, cued, patch_reader

COLUMNS: Mapping[str, Rank] = {
    "image_brightness": 1, "image_saliency": 1, "image_shape": 1, "image_facts": 1,
}  # fmt: skip
FACTS = ("target", "code", "predicted")


class SaliencyMapOptions(Options):
    """How many."""

    num_examples: int = Field(
        default=4, ge=1, le=16, description="half of them, rounded down, with a cue that disagrees"
    )


@probe(
    columns=COLUMNS,
    unit="brightness and share of the largest slope in [0, 1]; pixels; class",
    low=0.0,
    high=float("inf"),
    null="image_saliency 0, where no pixel changes the prediction",
    cost="one forward and one backward pass over num_examples examples",
    source="Simonyan et al. 2014",
    requires=needs.a_cue("saliency_maps"),
)
def saliency_maps(options: SaliencyMapOptions, view: View) -> dict[str, Tensor]:
    """The first validation examples of either kind, those with a disagreeing cue first; flat, ``[K H W]``.

    ``image_brightness`` is the mean over channels, from the darkest pixel of an example to its brightest.
    ``image_saliency`` is the absolute slope of the predicted class's logit in the pixels, summed over
    channels, over its largest in that example. ``image_shape`` is (K, H, W), ``image_facts`` are target, code
    and predicted class, example by example.
    """
    batch = view.sample()
    count = min(options.num_examples, len(batch.targets))
    is_aligned = batch.factors["is_aligned"].long()
    conflicting = torch.argsort(is_aligned, stable=True)[: count // 2]
    aligned = torch.argsort(-is_aligned, stable=True)[: count - count // 2]
    chosen = torch.cat([conflicting, aligned])
    inputs = batch.inputs[chosen]

    def predicted(inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The sum over examples, which do not mix, of the logit of each one's own prediction."""
        logits = view.predict(inputs)
        best = logits.argmax(-1, keepdim=True)
        return logits.gather(-1, best).sum(), best[:, 0]

    slope, answer = torch.func.grad(predicted, has_aux=True)(inputs)
    exact = wide(inputs.device)
    facts = torch.stack([batch.targets[chosen], batch.factors["code"][chosen], answer], dim=-1)
    shape = torch.tensor([count, *inputs.shape[-2:]], dtype=exact, device=inputs.device)
    return {
        "image_brightness": _in_unit(inputs.to(exact).mean(1)).flatten(),
        "image_saliency": _of_largest(slope.to(exact).abs().sum(1)).flatten(),
        "image_shape": shape,
        "image_facts": facts.to(exact).flatten(),
    }


def _in_unit(images: Tensor) -> Tensor:
    low, high = images.amin((-2, -1), keepdim=True), images.amax((-2, -1), keepdim=True)
    return (images - low) / torch.where(high > low, high - low, 1.0)


def _of_largest(mass: Tensor) -> Tensor:
    largest = mass.amax((-2, -1), keepdim=True)
    return mass / torch.where(largest > 0, largest, 1.0)


def truth() -> Iterator[tuple[Any, ...]]:
    # Red and blue have the mean -1/3; dark and bright middles -1 and 1 around a border of 0.
    def brightness(label: int) -> list[float]:
        low, high = (-1.0, 0.0) if label == 0 else (-1 / 3, 1.0)
        middle = -1.0 if label == 0 else 1.0
        image = [[0.0] * 4 for _ in range(4)]
        image[0][0] = -1 / 3
        for y in (1, 2):
            for x in (1, 2):
                image[y][x] = middle
        return [(value - low) / (high - low) for row in image for value in row]

    corner = [1.0] + [0.0] * 15
    middle = [float(y in (1, 2) and x in (1, 2)) for y in range(4) for x in range(4)]
    # Number 1 is the first that disagrees (label 0, code 1), number 0 the first that agrees.
    two = SaliencyMapOptions(num_examples=2)
    shared = {"image_brightness": brightness(0) * 2, "image_shape": [2.0, 4.0, 4.0]}
    yield (
        two,
        cued(patch_reader),
        {**shared, "image_saliency": corner * 2, "image_facts": [0.0, 1.0, 1.0, 0.0, 0.0, 0.0]},
    )
    yield (
        two,
        cued(core_reader),
        {**shared, "image_saliency": middle * 2, "image_facts": [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]},
    )
    blind = cued(lambda inputs, tap: 0 * core_reader(inputs, tap))
    yield (
        two,
        blind,
        {**shared, "image_saliency": [0.0] * 32, "image_facts": [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]},
    )
