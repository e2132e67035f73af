"""Answers of one position ``[B]`` or several ``[B, T]``: one number per example either way.

The loss of an example is the mean over its positions, it is right where all positions are, and its margin is
the smallest. With one position, bit for bit what there would be without this file.
"""

from jaxtyping import Bool, Float
from torch import Tensor


def mean_of(values: Float[Tensor, "B *T"]) -> Float[Tensor, " B"]:
    return values if values.ndim == 1 else values.flatten(1).mean(1)


def all_of(values: Bool[Tensor, "B *T"]) -> Bool[Tensor, " B"]:
    return values if values.ndim == 1 else values.flatten(1).all(1)


def smallest_of(values: Float[Tensor, "B *T"]) -> Float[Tensor, " B"]:
    return values if values.ndim == 1 else values.flatten(1).amin(1)
