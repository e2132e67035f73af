"""Layers applied to the last axis, in the form that stays one matrix product under ``vmap``."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def dense(layer: nn.Linear, h: Float[Tensor, "*lead D"]) -> Float[Tensor, "*lead E"]:
    """``h W^T + b`` with all leading axes flattened into rows.

    Under ``vmap`` a product of ``[B, S, D]`` with a per-member weight becomes ``B`` small products per
    member; flattened it is one batched product over members, several times faster.
    """
    rows = torch.nn.functional.linear(h.reshape(-1, h.shape[-1]), layer.weight, layer.bias)
    return rows.reshape(*h.shape[:-1], rows.shape[-1])
