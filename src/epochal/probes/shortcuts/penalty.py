"""The IRMv1 penalty in closed form: how much a factor on the logits would still lower the loss."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors.precision import wide

PerExample = Float[Tensor, "E N"]
"""Slopes of each example in each environment; ``weight`` is 1 where it belongs to it, else 0."""


def slopes(logits: Float[Tensor, "*E N C"], targets: Int64[Tensor, " N"]) -> Float[Tensor, "*E N"]:
    """``d/ds CE(s z, y)`` at s = 1, ``sum_c (softmax(z)_c - [c = y]) z_c``, in nat and float64."""
    z = logits.to(wide(logits.device))
    right = z.gather(-1, targets.expand(z.shape[:-1])[..., None])
    # Against the target's logit: no difference of large products, and 0 where the target's is all there is.
    return (torch.softmax(z, -1) * (z - right)).sum(-1)


def penalties(slope: PerExample, weight: PerExample) -> Float[Tensor, " E"]:
    """Of each environment the square of its mean slope; NaN for one without examples."""
    mean = torch.where(weight == 0, 0.0, slope).sum(-1) / weight.sum(-1)
    return mean.square()


def unbiased_penalties(slope: PerExample, weight: PerExample) -> Float[Tensor, " E"]:
    """The product of the mean slopes of two halves, averaged over all ways to halve.

    Every pair of different examples is in different halves equally often, so this is the mean of ``g_i g_j``
    over i != j: ``((sum g)^2 - sum g^2) / (n (n - 1))``. NaN for environments with fewer than two.
    """
    own = torch.where(weight == 0, 0.0, slope)
    count = weight.sum(-1)
    pairs = count * (count - 1)
    return (own.sum(-1).square() - own.square().sum(-1)) / pairs
