"""Means over some of the examples, without shapes that depend on data: NaN where there are none."""

import math

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor


def mean_where(values: Shaped[Tensor, "... N"], chosen: Bool[Tensor, "... N"]) -> Float[Tensor, "..."]:
    """NaN where nothing is chosen (0 / 0)."""
    return torch.where(chosen, values.double(), 0.0).sum(-1) / chosen.sum(-1)


def per_group(
    values: Shaped[Tensor, " N"], group: Int64[Tensor, " N"], num_groups: int
) -> Float[Tensor, " K"]:
    """The mean of each group."""
    return mean_where(values, is_in(group, num_groups))


def is_in(group: Int64[Tensor, " N"], num_groups: int) -> Bool[Tensor, "K N"]:
    return group == torch.arange(num_groups, device=group.device)[:, None]


def lowest(values: Float[Tensor, " K"]) -> Float[Tensor, ""]:
    """Of those that are defined; NaN without any."""
    is_defined = ~values.isnan()
    least = torch.where(is_defined, values, math.inf).amin(-1)
    return torch.where(is_defined.any(-1), least, math.nan)


def mean_of_defined(values: Float[Tensor, "*K N"]) -> Float[Tensor, "*K"]:
    """NaN without any."""
    return mean_where(values, ~values.isnan())
