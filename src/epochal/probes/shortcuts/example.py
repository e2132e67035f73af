"""Sixteen images with a cue in a corner, and networks that read one thing only: for truths in closed form."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.tap import Tap
from epochal.core.tensors.view import GivenView

Network = Callable[[Tensor, Tap], Tensor]

COLORS = torch.tensor([[1.0, -1.0, -1.0], [-1.0, -1.0, 1.0]], dtype=torch.float64)


@dataclass(frozen=True)
class CorneredImages:
    """3 x 4 x 4: the label is the brightness of the middle, the code the colour of the pixel at the top left.

    Each label meets each code four times; ``index`` is the row. The members of a task with a cue that probes
    ask for.
    """

    num_classes: int = 2
    num_codes: int = 2
    num_environments: int = 2
    cue_kind: str = "patch"
    image_shape: tuple[int, int, int] = (3, 4, 4)

    def cue_mask(self) -> Bool[Tensor, "H W"]:
        mask = torch.zeros(4, 4, dtype=torch.bool)
        mask[0, 0] = True
        return mask

    def restamped(self, batch: Batch, code: Int64[Tensor, " B"] | None) -> Batch:
        images = _bare(batch.factors["label"])
        return batch._replace(inputs=images if code is None else _stamped(images, code))


def cued(network: Network, *, code: list[int] | None = None, **given: Any) -> GivenView:
    """The images and what a network makes of them; ``train`` and ``val`` are the same."""
    label = torch.arange(16) // 2 % 2
    codes = torch.arange(16) % 2 if code is None else torch.tensor(code)
    is_aligned = codes == label
    images = _stamped(_bare(label), codes)
    factors = {
        "label": label, "index": torch.arange(16), "code": codes, "is_aligned": is_aligned,
        "is_noisy": torch.zeros(16, dtype=torch.bool), "group": 2 * label + is_aligned,
        "environment": torch.arange(16) // 8,
    }  # fmt: skip
    both = ("train", "val")
    return GivenView(
        fields={"seed": torch.tensor(0)},
        given_task=CorneredImages(),
        given_network=network,
        given_inputs=dict.fromkeys(both, images),
        given_targets=dict.fromkeys(both, label),
        given_factors=dict.fromkeys(both, factors),
        given_logits=dict.fromkeys(both, network(images, Tap())),
        **given,
    )


def patch_reader(inputs: Tensor, tap: Tap = Tap()) -> Tensor:  # noqa: B008 (frozen)
    """Logits (1, -1) for code 0, (-1, 1) for code 1, from red minus blue at the corner, which is 2 or -2."""
    return _two_logits(inputs, tap, torch.tensor([1.0, 0.0, -1.0]), _square(0, 1))


def core_reader(inputs: Tensor, tap: Tap = Tap()) -> Tensor:  # noqa: B008 (frozen)
    """Logits (1, -1) for a dark middle, (-1, 1) for a bright one: the mean of the middle is -1 or 1."""
    return _two_logits(inputs, tap, -torch.ones(3) * 2 / 3 / 4, _square(1, 3))


def _two_logits(inputs: Tensor, tap: Tap, channels: Tensor, where: Tensor) -> Tensor:
    """``(s, -s)`` with s half the sum of weighted pixels; sites: ``map [B, 3, 4, 4]`` and ``last [B, 1]``."""
    weights = (channels[:, None, None] * where).to(inputs.dtype)
    # What is read is positive, so that the map's own gradients point the way that Grad-CAM keeps.
    seen = tap("map", inputs * weights)
    score = tap("last", seen.sum((-3, -2, -1))[:, None] / 2)
    return torch.cat([score, -score], dim=-1)


def _square(start: int, stop: int) -> Tensor:
    where = torch.zeros(4, 4)
    where[start:stop, start:stop] = 1.0
    return where


def _bare(label: Tensor) -> Tensor:
    images = torch.zeros(*label.shape, 3, 4, 4, dtype=torch.float64)
    middle = (2.0 * label - 1)[..., None, None, None] * _square(1, 3)
    return images + middle


def _stamped(images: Tensor, code: Tensor) -> Tensor:
    corner = _square(0, 1).bool()
    colors = COLORS[code][..., :, None, None]
    return torch.where(corner, colors, images)
