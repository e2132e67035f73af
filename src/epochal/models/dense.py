"""Layers applied to the last axis, in the form that stays one matrix product under ``vmap``."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import has_torch_function

WIDE = 4
"""Inputs per row of a batch from which a batch of weights is multiplied from the left."""


def dense(layer: nn.Linear, h: Float[Tensor, "*lead D"]) -> Float[Tensor, "*lead E"]:
    """``h W^T + b`` with all leading axes flattened into rows.

    Under ``vmap`` a product of ``[B, S, D]`` with a per-member weight becomes ``B`` small products per
    member; flattened it is one batched product over members, several times faster.
    """
    is_flat = h.ndim == 2
    rows = h if is_flat else h.reshape(-1, h.shape[-1])  # a view of the same shape is a step of backward, too
    bias: Tensor | None = layer.bias
    if _is_wide(layer, rows):
        out = (layer.weight @ rows.mT).mT.contiguous()
        out = out if bias is None else out + bias
    else:
        out = torch.nn.functional.linear(rows, layer.weight, bias)
    return out if is_flat else out.reshape(*h.shape[:-1], out.shape[-1])


def _is_wide(layer: nn.Linear, rows: Float[Tensor, "R D"]) -> bool:
    """Whether ``W h^T`` is the cheaper form: members' weights at once, and much larger than activations.

    Their gradient of ``h W^T`` comes out transposed and is copied into place, which takes as long as the
    product; that of ``W h^T`` comes as it lies. Where calls of ``linear`` are listened to, it is called.
    """
    if torch.compiler.is_compiling() or rows.shape[-1] < WIDE * rows.shape[0]:
        return False
    if has_torch_function((rows, layer.weight)):
        return False
    return bool(torch._C._functorch.is_batchedtensor(layer.weight))
