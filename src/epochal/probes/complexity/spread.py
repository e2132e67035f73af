"""How far a mean over examples lies from that over all there could be."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def error_of_mean(values: Float[Tensor, "*lead N"]) -> Float[Tensor, "*lead"]:
    """The standard error of the mean over the last axis, of independent values; NaN of a single one."""
    number = values.shape[-1]
    if number == 1:
        return torch.full_like(values[..., 0], math.nan)
    error: Tensor = values.std(-1) / math.sqrt(number)
    return error
