"""The real task with a cue on made-up images, and two networks: one reads the cue only, one the core only."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from epochal import GivenView
from epochal.core.tensors import random
from epochal.core.tensors.tap import Tap
from epochal.probes import find
from epochal.tasks.datasets.image_set import Examples, ImageSet
from epochal.tasks.images import Images
from epochal.tasks.shortcuts.colors import COLORS
from epochal.tasks.shortcuts.cue import Cue
from epochal.tasks.shortcuts.cued_images import CuedImages
from epochal.tasks.shortcuts.environments import Environments

Network = Callable[[Tensor, Tap], Tensor]
CPU = torch.device("cpu")
SIDE, PATCH = 8, 2


def task(num_classes: int = 2, count: int = 96, environments: Any = "random", num: int = 3) -> CuedImages:
    """Noise, with the label as the brightness of the four pixels in the middle: c / (C - 1) of white."""
    rng = np.random.default_rng(0)

    def examples(count: int) -> Examples:
        labels = np.arange(count) % num_classes
        drawn = rng.integers(0, 256, (count, SIDE, SIDE, 1), dtype=np.uint8)
        drawn[:, 3:5, 3:5] = (labels * 255 // (num_classes - 1)).astype(np.uint8)[:, None, None, None]
        return Examples(drawn, labels)

    splits = {"train": examples(count), "val": examples(count)}
    names = tuple("abcdef"[:num_classes])
    images = Images(
        image_set=ImageSet(name="made up", splits=splits, class_names=names),
        dtype=torch.float64, device=CPU, channels=3, normalization="half",
    )  # fmt: skip
    cue = Cue(
        kind="patch", num_codes=num_classes, image_shape=images.image_shape, size=PATCH,
        dtype=torch.float64, device=CPU,
    )  # fmt: skip
    return CuedImages(images=images, cue=cue, environments=Environments(kind=environments, count=num))


def view(made: CuedImages, network: Network, *, rho: float = 0.75, label_noise: float = 0.0) -> GivenView:
    """What a probe sees of a network on this task."""
    shares = {"rho": rho, "label_noise": label_noise, "rho_spread": 0.1}
    fields = {name: torch.tensor(value, dtype=torch.float64) for name, value in shares.items()}
    fields |= {name: torch.tensor(3) for name in ("seed", "split_seed", "spurious_seed")}
    key = random.key(0, "test")
    batches = {split: made.batch(made.index(split, fields), fields, key) for split in ("train", "val")}
    return GivenView(
        fields=fields,
        given_task=made,
        given_network=network,
        given_inputs={split: batch.inputs for split, batch in batches.items()},
        given_targets={split: batch.targets for split, batch in batches.items()},
        given_factors={split: batch.factors for split, batch in batches.items()},
        given_logits={split: network(batch.inputs, Tap()) for split, batch in batches.items()},
    )


def patch_reader(num_classes: int = 2) -> Network:
    """The class whose colour is nearest to the patch's; the maps are blank outside the patch."""
    colors = torch.tensor(list(COLORS.values())[:num_classes], dtype=torch.float64)

    def read(inputs: Tensor, tap: Tap) -> Tensor:
        where = torch.zeros(SIDE, SIDE, dtype=inputs.dtype)
        where[:PATCH, :PATCH] = 1
        color = tap("map", inputs * where).sum((-2, -1)) / PATCH**2
        logits = color @ colors.T - colors.square().sum(-1) / 2
        return tap("last", logits) + 0

    return read


def core_reader(num_classes: int = 2) -> Network:
    """The class whose brightness is nearest to the middle's; the maps are blank outside the middle."""
    levels = 2 * torch.arange(num_classes, dtype=torch.float64) / (num_classes - 1) - 1

    def read(inputs: Tensor, tap: Tap) -> Tensor:
        where = torch.zeros(SIDE, SIDE, dtype=inputs.dtype)
        where[3:5, 3:5] = 1
        middle = tap("map", inputs * where).mean(1).sum((-2, -1)) / 4
        scores = middle[:, None] * levels - levels.square() / 2
        # Of several classes those between two others are no linear function of one number.
        return tap("last", scores if num_classes == 2 else torch.softmax(100 * scores, -1)) + 0

    return read


def value(name: str, seen: Any, **options: Any) -> dict[str, Any]:
    """What a probe says, as NumPy arrays."""
    probe = find(name)
    measured = probe.configured(probe.options(**options)).measure(seen)
    return {column: each.double().numpy() for column, each in measured.items()}
