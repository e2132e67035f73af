"""Fresh parameters from counters: each tensor depends on its own name and the key alone."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from epochal.core.tensors import random
from epochal.core.tensors.network import Initialise
from epochal.core.tensors.random import Key

Draw = Callable[[nn.Module, str, tuple[int, ...], Key, torch.dtype], Tensor]


def initializer(name: str) -> Initialise:
    """Adding a tensor to a network changes the values of no other.

    ``torch``: the distributions of torch's own ``reset_parameters``: linear weights and biases uniform
    within ``1 / sqrt(fan_in)``, embeddings standard normal. ``lecun``: weights normal with variance
    ``1 / fan_in`` (LeCun et al. 1998, section 4.6), embeddings with variance ``1 / width``, biases zero;
    with it the residual stream starts small, as in Nanda et al. 2023. Layer norms are ones and zeros.
    """
    draw: Draw = {"torch": _draw_torch, "lecun": _draw_lecun}[name]

    def initialise(module: nn.Module, key: Key, dtype: torch.dtype) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        for path, layer in module.named_modules():
            for own, parameter in layer.named_parameters(recurse=False):
                full_name = f"{path}.{own}" if path else own
                values[full_name] = draw(
                    layer, own, tuple(parameter.shape), random.fold(key, full_name), dtype
                )
        return values

    return initialise


def _draw_torch(layer: nn.Module, name: str, shape: tuple[int, ...], key: Key, dtype: torch.dtype) -> Tensor:
    match layer:
        case nn.Linear():
            return (2 * random.uniform(key, shape, dtype) - 1) / math.sqrt(layer.in_features)
        case nn.Embedding():
            return random.normal(key, shape, dtype)
        case _:
            return _draw_norm(layer, name, shape, key, dtype)


def _draw_lecun(layer: nn.Module, name: str, shape: tuple[int, ...], key: Key, dtype: torch.dtype) -> Tensor:
    match layer:
        case nn.Linear() if name == "weight":
            return random.normal(key, shape, dtype) / math.sqrt(layer.in_features)
        case nn.Linear():
            return torch.zeros(shape, dtype=dtype, device=key.device)
        case nn.Embedding():
            return random.normal(key, shape, dtype) / math.sqrt(layer.embedding_dim)
        case _:
            return _draw_norm(layer, name, shape, key, dtype)


def _draw_norm(layer: nn.Module, name: str, shape: tuple[int, ...], key: Key, dtype: torch.dtype) -> Tensor:
    assert isinstance(layer, nn.LayerNorm), f"no initial distribution for {type(layer).__name__}.{name}"
    return torch.full(shape, 1.0 if name == "weight" else 0.0, dtype=dtype, device=key.device)
