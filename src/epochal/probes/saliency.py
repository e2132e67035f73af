"""Where a network looks: the share of input gradients, and of Grad-CAM, inside the cue's place."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from epochal.core.tensors.precision import wide
from epochal.core.tensors.probe import probe
from epochal.core.tensors.tap import Tap
from epochal.core.tensors.view import View
from epochal.core.values.options import Options
from epochal.probes.shortcuts import needs
from epochal.probes.shortcuts.example import core_reader, cued, patch_reader
from epochal.probes.shortcuts.forward import GRADIENT_PIECE, maps_at
from epochal.probes.shortcuts.shares import mean_of_defined


class SaliencyOptions(Options):
    """Of Grad-CAM."""

    site: str = Field(default="", description="site of its maps; empty = the last with more than one place")


@probe(
    columns=("saliency_in_patch", "gradcam_in_patch", "patch_area"),
    unit="fraction",
    low=0.0,
    high=1.0,
    null="patch_area, where evidence lies everywhere alike; 0, where the patch is not read",
    cost="one forward and one backward pass over probe_samples examples",
    source="Simonyan et al. 2014 (gradient); Selvaraju et al. 2017, equations 1 and 2 (Grad-CAM)",
    requires=needs.a_cue("saliency"),
)
def saliency(options: SaliencyOptions, view: View) -> dict[str, Tensor]:
    """Mean over examples of the share of mass inside the cue's mask; ``patch_area`` is that of the pixels.

    ``saliency_in_patch``: of the absolute gradient of the predicted class's logit in the pixels, summed over
    channels. ``gradcam_in_patch``: of the positive part of ``sum_k a_k A_k``, A the maps at a site and
    ``a_k`` the mean over places of that logit's gradient in map k; bilinear to the image's size. Examples
    without any mass are left out; NaN where that leaves none, and Grad-CAM's for networks without maps.
    """
    inputs = view.sample().inputs
    mask = view.task.cue_mask().to(inputs.device)
    found = maps_at(view, inputs, options.site)
    pieces = [_shares(view, piece, mask, found) for piece in inputs.split(GRADIENT_PIECE)]
    return {
        "saliency_in_patch": mean_of_defined(torch.cat([gradient for gradient, _ in pieces])),
        "gradcam_in_patch": mean_of_defined(torch.cat([cam for _, cam in pieces])),
        "patch_area": mask.double().mean(),
    }


def _shares(
    view: View, inputs: Float[Tensor, "B ..."], mask: Bool[Tensor, "H W"], found: tuple[str, Tensor] | None
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """Of each example, NaN where it has no mass."""
    name, one = found or ("", inputs.new_zeros(1))

    def predicted(inputs: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """The sum over examples, which do not mix, of the logit of each one's own prediction; the maps."""
        maps = shift

        def look(site: str, activation: Tensor) -> Tensor:
            nonlocal maps
            if site != name:
                return activation
            maps = activation
            return activation + shift

        logits = view.predict(inputs, Tap(edit=look))
        return logits.gather(-1, logits.argmax(-1, keepdim=True)).sum(), maps

    zeros = one.new_zeros((len(inputs), *one.shape[1:]))
    (slope, at_maps), maps = torch.func.grad(predicted, argnums=(0, 1), has_aux=True)(inputs, zeros)
    gradient = _share(slope.abs().sum(1), mask)
    if not found:
        return gradient, torch.full_like(gradient, torch.nan)
    cam = (at_maps.mean((-2, -1), keepdim=True) * maps).sum(1, keepdim=True).relu()
    full = torch.nn.functional.interpolate(cam, mask.shape, mode="bilinear", align_corners=False)
    return gradient, _share(full[:, 0], mask)


def _share(mass: Float[Tensor, "B H W"], mask: Bool[Tensor, "H W"]) -> Float[Tensor, " B"]:
    exact = mass.to(wide(mass.device))
    return (exact * mask).sum((-2, -1)) / exact.sum((-2, -1))  # 0 / 0 is NaN


def truth() -> Iterator[tuple[Any, ...]]:
    area = {"patch_area": 1 / 16}
    yield cued(patch_reader), {"saliency_in_patch": 1.0, "gradcam_in_patch": 1.0, **area}
    yield cued(core_reader), {"saliency_in_patch": 0.0, "gradcam_in_patch": 0.0, **area}

    def everywhere(inputs: Tensor, tap: Tap) -> Tensor:
        score = tap("last", inputs.sum((-3, -2, -1))[:, None])
        return torch.cat([score, -score], dim=-1)

    nan = float("nan")
    yield cued(everywhere), {"saliency_in_patch": 1 / 16, "gradcam_in_patch": nan, **area}
    both = cued(lambda inputs, tap: patch_reader(inputs, Tap()) * 3 + core_reader(inputs, Tap()))
    # Weights: 3 x (1 + 1) / 2 at the corner, 12 x 1/6 / 2 in the middle.
    yield both, {"saliency_in_patch": 3 / 4, "gradcam_in_patch": nan, **area}
    blind = cued(lambda inputs, tap: 0 * core_reader(inputs, tap))
    yield blind, {"saliency_in_patch": nan, "gradcam_in_patch": nan, **area}
