"""Where the evidence lies: how much confidence is lost without the middle of an image, or its border."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.core.values.options import Options
from epochal.probes.shortcuts import needs
from epochal.probes.shortcuts.example import core_reader, cued, patch_reader
from epochal.probes.shortcuts.forward import logits_of

HIGHEST_RATIO = 10.0


class OcclusionOptions(Options):
    """What is covered, and with what."""

    fill: float = Field(default=0.0, description="what covered pixels become, in the network's own units")
    box_share: float = Field(
        default=0.5, gt=0, lt=1, description="height and width of the middle, over the image's"
    )


@probe(
    columns=("center_confidence", "border_confidence", "shortcut_ratio"),
    unit="probability; shortcut_ratio is a ratio",
    low=-math.inf,
    high=HIGHEST_RATIO,
    null="0, where the part that is covered is not read; the ratio is then 0, or 10 for the middle",
    cost="three forward passes over probe_samples examples",
    source="CausalGrok, with min(border / (center + 1e-8), 10); Zeiler & Fergus 2014",
    requires=needs.images("occlusion"),
)
def occlusion(options: OcclusionOptions, view: View) -> dict[str, Tensor]:
    """Mean drop of the softmax confidence in the class predicted for the whole image; negative: a rise.

    ``center_confidence`` with the central box covered, ``border_confidence`` with everything else covered.
    A cue in a corner is in the border. A negative drop at the centre makes the ratio negative.
    """
    inputs = view.sample().inputs
    is_middle = _middle(inputs.shape[-2], inputs.shape[-1], options.box_share).to(inputs.device)
    whole = torch.softmax(logits_of(view, inputs), -1)
    predicted = whole.argmax(-1, keepdim=True)
    confidence = whole.gather(-1, predicted)

    def drop(is_covered: Bool[Tensor, "H W"]) -> Float[Tensor, ""]:
        covered = torch.where(is_covered, options.fill, inputs)
        left = torch.softmax(logits_of(view, covered), -1).gather(-1, predicted)
        return (confidence - left).mean()

    center, border = drop(is_middle), drop(~is_middle)
    ratio = (border / (center + 1e-8)).clamp(max=HIGHEST_RATIO)
    return {"center_confidence": center, "border_confidence": border, "shortcut_ratio": ratio}


def _middle(height: int, width: int, share: float) -> Bool[Tensor, "H W"]:
    """The central box; of an odd rest the smaller part lies above and left."""
    tall, wide = max(1, round(share * height)), max(1, round(share * width))
    top, left = (height - tall) // 2, (width - wide) // 2
    box = torch.zeros(height, width, dtype=torch.bool)
    box[top : top + tall, left : left + wide] = True
    return box


def truth() -> Iterator[tuple[Any, ...]]:
    # Confidence of logits (1, -1) is 1 / (1 + e^-2); what is read covered with 0, both classes have 1/2.
    drop = 1 / (1 + math.exp(-2)) - 0.5
    nothing = {"center_confidence": 0.0, "border_confidence": 0.0, "shortcut_ratio": 0.0}
    yield cued(patch_reader), {**nothing, "border_confidence": drop, "shortcut_ratio": 10.0}
    yield cued(core_reader), {**nothing, "center_confidence": drop}
    # A bright middle in place of the dark ones: half the images are taken for the other class.
    lit = OcclusionOptions(fill=1.0)
    yield lit, cued(core_reader), {**nothing, "center_confidence": drop}
    # A box of one quarter of 4 pixels is one pixel, a quarter of what the core reader reads.
    small = 1 / (1 + math.exp(-2)) - 1 / (1 + math.exp(-1.5))
    most = 1 / (1 + math.exp(-2)) - 1 / (1 + math.exp(-0.5))
    yield (
        OcclusionOptions(box_share=0.25),
        cued(core_reader),
        {"center_confidence": small, "border_confidence": most, "shortcut_ratio": most / (small + 1e-8)},
    )
