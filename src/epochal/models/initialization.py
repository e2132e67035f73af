"""Fresh parameters from counters: each tensor depends on its own name and the key alone."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from epochal.core.tensors import random
from epochal.core.tensors.network import Initialise
from epochal.core.tensors.random import Key
from epochal.core.values.errors import UserError
from epochal.models.norms import BatchNorm, GroupNorm
from epochal.models.one_hot import OneHot

Draw = Callable[[nn.Module, str, tuple[int, ...], Key, torch.dtype], Tensor]
"""From a layer, the full name of its parameter, shape, key and dtype."""

Scaled = Literal["weights", "all"]

Start = Callable[[Key, torch.dtype], dict[str, Tensor]]
"""A module's own initial parameters and buffers, by every name they have."""


def initializer(
    name: str, *, zero_readout: bool = False, init_scaled: Scaled = "weights", start: Start | None = None
) -> Initialise:
    """Adding a tensor to a network changes the values of no other.

    ``torch``: the distributions of torch's own ``reset_parameters``: weights and biases of linear layers and
    convolutions uniform within ``1 / sqrt(fan_in)`` (He's uniform with a = sqrt(5)), embeddings standard
    normal. ``lecun``: weights normal with variance ``1 / fan_in`` (LeCun et al. 1998, section 4.6),
    embeddings with variance ``1 / width``, biases zero; with it the residual stream starts small, as in Nanda
    et al. 2023. ``orthogonal``: weights as matrices ``[outputs, fan_in]`` with orthonormal rows or columns,
    whichever are fewer (Saxe et al. 2014, section 3), embeddings and biases as in ``lecun``. ``nanda``:
    weights normal with variance ``1 / width``, the width being a matrix's shorter side, those of the last
    linear layer with ``1 / outputs``, biases zero (Nanda et al. 2023, code). ``multihead``: ``torch``, but
    attention as ``torch.nn.MultiheadAttention`` draws it: queries, keys and values by Glorot's uniform for
    one matrix of all three, biases of attention zero. ``torchvision``: ``torch``, but convolutions normal
    with variance ``2 / fan_out``, as torchvision's ResNets draw them (He et al. 2015, section 2.2).
    ``normal``: weights standard normal, biases zero. Norms are ones and zeros. A layer with an
    ``initial_std`` has normal weights of that deviation in every scheme.

    ``zero_readout`` sets the last linear layer to zero: logits start equal. The ``scale`` of a call
    multiplies every parameter with more than one dimension, or with ``init_scaled="all"`` every parameter; 1
    leaves the scheme as it is. ``start`` is a foreign module's own initialisation: all of it for ``torch``;
    otherwise what is no linear layer, convolution or embedding.
    """
    draw: Draw = {
        "torch": _draw_torch,
        "lecun": _draw_lecun,
        "orthogonal": _draw_orthogonal,
        "nanda": _draw_nanda,
        "multihead": _draw_multihead,
        "torchvision": _draw_torchvision,
        "normal": _draw_normal,
    }[name]

    def initialise(module: nn.Module, key: Key, dtype: torch.dtype, scale: float) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        readout = _readout(module) if zero_readout or name == "nanda" else None
        given = start(key, dtype) if start else {}
        for path, layer in module.named_modules():
            for own, parameter in layer.named_parameters(recurse=False):
                full_name = f"{path}.{own}" if path else own
                shape = tuple(parameter.shape)
                is_matrix_layer = isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding | OneHot)
                if start and (name == "torch" or not is_matrix_layer):
                    value = given[full_name]
                elif own == "weight" and (std := getattr(layer, "initial_std", None)) is not None:
                    value = std * random.normal(random.fold(key, full_name), shape, dtype)
                else:
                    value = draw(layer, full_name, shape, random.fold(key, full_name), dtype)
                if layer is readout and name == "nanda":
                    value = value * math.sqrt(min(shape) / shape[0])
                if scale != 1.0 and (len(shape) > 1 or init_scaled == "all"):
                    value = value * scale
                is_zero = zero_readout and layer is readout
                values[full_name] = torch.zeros_like(value) if is_zero else value
            for own, buffer in layer.named_buffers(recurse=False):
                full_name = f"{path}.{own}" if path else own
                if full_name in given:
                    values[full_name] = given[full_name]
                    continue
                number = 1.0 if own == "running_var" else 0.0
                values[full_name] = torch.full(buffer.shape, number, dtype=dtype, device=key.device)
        return values

    return initialise


def _readout(module: nn.Module) -> nn.Linear:
    """The linear layer that was registered last.

    Raises:
        UserError: there is none.
    """
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise UserError(f"zero_readout: {type(module).__name__} has no linear layer to start at zero")
    return linear[-1]


def _draw_torch(layer: nn.Module, name: str, shape: tuple[int, ...], key: Key, dtype: torch.dtype) -> Tensor:
    match layer:
        case nn.Linear() | nn.Conv2d() | OneHot():
            return (2 * random.uniform(key, shape, dtype) - 1) / math.sqrt(_fan_in(layer))
        case nn.Embedding():
            return random.normal(key, shape, dtype)
        case _:
            return _draw_norm(layer, name, shape, key, dtype)


def _draw_lecun(layer: nn.Module, name: str, shape: tuple[int, ...], key: Key, dtype: torch.dtype) -> Tensor:
    match layer:
        case nn.Linear() | nn.Conv2d() | OneHot() if name.endswith("weight"):
            return random.normal(key, shape, dtype) / math.sqrt(_fan_in(layer))
        case nn.Linear() | nn.Conv2d() | OneHot():
            return torch.zeros(shape, dtype=dtype, device=key.device)
        case nn.Embedding():
            return random.normal(key, shape, dtype) / math.sqrt(layer.embedding_dim)
        case _:
            return _draw_norm(layer, name, shape, key, dtype)


def _draw_normal(layer: nn.Module, name: str, shape: tuple[int, ...], key: Key, dtype: torch.dtype) -> Tensor:
    if isinstance(layer, nn.Linear | nn.Conv2d | OneHot | nn.Embedding) and name.endswith("weight"):
        return random.normal(key, shape, dtype)
    return _draw_lecun(layer, name, shape, key, dtype)


def _draw_nanda(layer: nn.Module, name: str, shape: tuple[int, ...], key: Key, dtype: torch.dtype) -> Tensor:
    if isinstance(layer, nn.Linear) and name.endswith("weight"):
        return random.normal(key, shape, dtype) / math.sqrt(min(shape))
    return _draw_lecun(layer, name, shape, key, dtype)


def _draw_multihead(
    layer: nn.Module, name: str, shape: tuple[int, ...], key: Key, dtype: torch.dtype
) -> Tensor:
    module, _, own = name.rpartition(".")
    part = module.rpartition(".")[2]
    if part in ("query", "key", "value") and own == "weight":
        return (2 * random.uniform(key, shape, dtype) - 1) * math.sqrt(6 / (shape[1] + 3 * shape[0]))
    if part in ("query", "key", "value", "output") and own == "bias":
        return torch.zeros(shape, dtype=dtype, device=key.device)
    return _draw_torch(layer, name, shape, key, dtype)


def _draw_torchvision(
    layer: nn.Module, name: str, shape: tuple[int, ...], key: Key, dtype: torch.dtype
) -> Tensor:
    if isinstance(layer, nn.Conv2d) and name.endswith("weight"):
        fan_out = shape[0] * math.prod(shape[2:])
        return random.normal(key, shape, dtype) * math.sqrt(2 / fan_out)
    return _draw_torch(layer, name, shape, key, dtype)


def _draw_orthogonal(
    layer: nn.Module, name: str, shape: tuple[int, ...], key: Key, dtype: torch.dtype
) -> Tensor:
    if not (isinstance(layer, nn.Linear | nn.Conv2d | OneHot) and name.endswith("weight")):
        return _draw_lecun(layer, name, shape, key, dtype)
    matrix = random.normal(key, shape, torch.float64).flatten(1)
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    q, r = torch.linalg.qr(tall)
    q = q * r.diagonal().sign()  # without it the distribution depends on the QR algorithm (Mezzadri 2007)
    drawn: Tensor = q if tall is matrix else q.T
    return drawn.reshape(shape).to(dtype)


def _fan_in(layer: nn.Linear | nn.Conv2d | OneHot) -> int:
    """Inputs of one output; biases have their layer's."""
    return layer.fan_in if isinstance(layer, OneHot) else math.prod(layer.weight.shape[1:])


def _draw_norm(layer: nn.Module, name: str, shape: tuple[int, ...], key: Key, dtype: torch.dtype) -> Tensor:
    assert isinstance(layer, nn.LayerNorm | BatchNorm | GroupNorm), (
        f"no initial distribution for {type(layer).__name__}.{name}"
    )
    return torch.full(shape, 1.0 if name.endswith("weight") else 0.0, dtype=dtype, device=key.device)
