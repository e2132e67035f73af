"""Shares of a whole that may be nothing."""

import torch
from jaxtyping import Float
from torch import Tensor


def share(part: Float[Tensor, "..."], whole: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """``part / whole``, and 0 where there is nothing."""
    return torch.where(whole == 0, 0.0, part / torch.where(whole == 0, 1.0, whole))
