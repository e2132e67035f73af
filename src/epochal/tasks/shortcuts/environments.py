"""Environments: parts of the data between which something is said to differ.

A predictor that uses what causes the label should do equally well in all of them. What differs is the kind:
brightness (which the label may or may not depend on), whether and how often the cue agrees with the label, or
nothing at all, which is the placebo.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.bijection import below
from epochal.core.tensors.task import Fields
from epochal.tasks.datasets.image_set import SPLITS, ImageSet

EnvironmentKind = Literal["brightness", "patch_flip", "rho", "random"]
KINDS: tuple[str, ...] = get_args(EnvironmentKind)
OF_CUE = ("patch_flip", "rho")
"""Kinds in which environments differ in the cue, and so in what is stamped."""


@dataclass(frozen=True, kw_only=True)
class Environments:
    """``count`` environments of a kind.

    ``brightness``: bins of equal count of the mean pixel, from dark to bright, of all images of a split,
    before a cue is stamped. The others draw the environment of an example from the stream ``spurious``:
    ``random``, and nothing depends on it; ``rho``, and environment e of E has its own share of agreement,
    ``rho + rho_spread (2 e / (E - 1) - 1)``; ``patch_flip``, always two, and in environment 1 an agreeing cue
    disagrees and a disagreeing one agrees.
    """

    kind: EnvironmentKind
    count: int

    def of(self, index: Int64[Tensor, " B"], fields: Fields) -> Int64[Tensor, " B"]:
        """The environments of examples where the kind draws them."""
        key = random.key(fields["spurious_seed"], "environment")
        return below(random.bits(key, index), self.count)

    def agreement(self, environment: Int64[Tensor, " B"], fields: Fields) -> Float[Tensor, "..."]:
        """How often a cue's code is to be the target, before it is flipped."""
        rho = fields["rho"]
        if self.kind != "rho":
            return rho
        return rho + fields["rho_spread"] * (2 * environment.to(rho.dtype) / (self.count - 1) - 1)


def bins_of_brightness(images: ImageSet, count: int, device: torch.device) -> Int64[Tensor, " N"]:
    """The bin of every image by its number, which runs through the splits."""
    splits = [images.splits[name].images for name in SPLITS if name in images.splits]
    return torch.cat([equal_count_bins(_total(pixels), count) for pixels in splits]).to(device)


def equal_count_bins(values: Int64[Tensor, " N"] | Float[Tensor, " N"], count: int) -> Int64[Tensor, " N"]:
    """Bins 0 to ``count`` - 1 from the smallest values on, whose sizes differ by one at most.

    Of equal values the earlier ones come first.
    """
    rank = torch.argsort(torch.argsort(values, stable=True))
    return rank * count // len(values)


def _total(pixels: np.ndarray) -> Int64[Tensor, " N"]:
    return torch.from_numpy(pixels.reshape(len(pixels), -1).sum(1, dtype=np.int64))
