"""Normalisation of images over channels: batch, group or none, by one call ``norm(h, tap)``."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from epochal.core.tensors.tap import Tap
from epochal.core.values.errors import UserError

Norm = Literal["batch", "group", "none"]
MAX_GROUPS = 32


def norm(kind: Norm, channels: int) -> "BatchNorm | GroupNorm | NoNorm":
    """Groups: the largest common divisor of 32 (Wu & He 2018) and the number of channels."""
    match kind:
        case "batch":
            return BatchNorm(channels)
        case "group":
            return GroupNorm(math.gcd(MAX_GROUPS, channels), channels)
        case "none":
            return NoNorm()


class BatchNorm(nn.Module):
    """``(h - mean) / sqrt(var + eps) * weight + bias`` per channel: torch's without its counter.

    In training, mean and biased variance are those of the batch, and the running statistics move by
    ``momentum`` towards its mean and unbiased variance, in place, also per member under ``vmap``. Otherwise
    the running statistics are used and stay as they are. Source: Ioffe & Szegedy 2015, algorithms 1 and 2.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, h: Float[Tensor, "B channels H W"], tap: Tap) -> Float[Tensor, "B channels H W"]:
        kept, exact = h.dtype, self.running_mean.dtype  # statistics of bfloat16 activations are float32
        h, weight, bias = h.to(exact), self.weight.to(exact), self.bias.to(exact)
        if not tap.training:
            return nn.functional.batch_norm(
                h, self.running_mean, self.running_var, weight, bias, eps=self.eps
            ).to(kept)
        if h.shape[0] * h.shape[2] * h.shape[3] == 1:
            raise UserError(
                "batch norm cannot train on a batch of one image with one pixel left: "
                "give last_batch=drop, a larger batch_size, or norm=group"
            )
        # torch's kernel may update a copy of running statistics that are slices of a larger matrix, and says
        # nothing. With fresh ones and momentum 1 they become the batch's own, which are then blended in here.
        mean = torch.zeros_like(self.running_mean, memory_format=torch.contiguous_format)
        var = torch.zeros_like(self.running_var, memory_format=torch.contiguous_format)
        h = nn.functional.batch_norm(h, mean, var, weight, bias, training=True, momentum=1.0, eps=self.eps)
        with torch.no_grad():
            self.running_mean.mul_(1 - self.momentum).add_(mean, alpha=self.momentum)
            self.running_var.mul_(1 - self.momentum).add_(var, alpha=self.momentum)
        return h.to(kept)


class GroupNorm(nn.Module):
    """Each example normalised over groups of channels and all places, then scaled per channel."""

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, groups: int, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.groups = groups
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, h: Float[Tensor, "B channels H W"], tap: Tap) -> Float[Tensor, "B channels H W"]:
        return nn.functional.group_norm(h, self.groups, self.weight, self.bias, self.eps)


class NoNorm(nn.Module):
    """Gives back what it gets."""

    def forward(self, h: Float[Tensor, "B channels H W"], tap: Tap) -> Float[Tensor, "B channels H W"]:
        return h
