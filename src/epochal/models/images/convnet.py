"""Small convolutional network: convolution, non-linearity and pooling, stage by stage, then a read-out."""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from epochal.core.tensors.tap import SILENT, Tap
from epochal.core.values.errors import UserError
from epochal.models.dense import dense
from epochal.models.images.mlp import ACTIVATIONS, Activation


class ConvNet(nn.Module):
    """Images ``[B, channels, H, W]`` to logits ``[B, C]``; stage l has ``width`` 2^l channels.

    A stage is a 3 x 3 convolution with zero padding, the activation, and 2 x 2 max pooling, which halves both
    sides (none on a side that is down to one pixel). ``depth=0`` is linear.

    Sites: ``stage.l [B, channels, H, W]``, after pooling.

    Raises:
        UserError: more stages than channels can double.
    """

    def __init__(
        self,
        *,
        image_shape: tuple[int, int, int],
        num_classes: int,
        depth: int,
        width: int,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        channels, height, across = image_shape
        if depth and width * 2 ** (depth - 1) > MOST_CHANNELS:
            raise UserError(
                f"depth={depth} with width={width} gives {width * 2 ** (depth - 1)} channels in the last "
                f"stage, more than {MOST_CHANNELS}: lower one of them"
            )
        self.activation = ACTIVATIONS[activation]
        self.pools = [(min(2, height >> place or 1), min(2, across >> place or 1)) for place in range(depth)]
        sizes = [channels, *(width * 2**place for place in range(depth))]
        self.stage = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in itertools.pairwise(sizes)
        )
        left = sizes[-1] * max(1, height >> depth) * max(1, across >> depth)
        self.readout = nn.Linear(left, num_classes)

    def forward(self, inputs: Float[Tensor, "B channels H W"], tap: Tap = SILENT) -> Float[Tensor, "B C"]:
        h = inputs
        for place, stage in enumerate(self.stage):
            h = stage(h) if place else tap.enter(stage, h)
            h = self.activation(tap.before(f"stage.{place}", h))
            h = tap(f"stage.{place}", torch.nn.functional.max_pool2d(h, self.pools[place]))
        return dense(self.readout, h.flatten(1))


MOST_CHANNELS = 65_536

model = ConvNet
