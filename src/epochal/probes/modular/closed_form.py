"""A network of modular arithmetic in closed form: what the probes of it must find is known.

Embedding: ``cos(w x)`` and ``sin(w x)`` of a few frequencies; neurons: ``cos(w(a + b))`` and ``sin(w(a +
b))``; logits: ``sum_f amplitude_f cos(w_f (a + b - c))`` (Nanda et al. 2023, section 4; Gromov 2023 for
weights that do it).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from epochal.core.tensors.view import GivenView


@dataclass(frozen=True)
class Table:
    """What the probes ask of a task."""

    operation: str
    modulus: int


def closed_form(p: int, amplitudes: Mapping[int, float], *, memorised: float = 0.0) -> GivenView:
    """The view of addition modulo p, whose frequencies have these amplitudes in the logits.

    The embedding has amplitude 1 at each of them. Every third pair trains. ``memorised`` is added to the
    right logit of the pairs that train.
    """
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    a, b = pairs.T
    total = a + b
    distance = total[:, None] - torch.arange(p)
    logits = sum_of(amplitude * wave(f, distance, p) for f, amplitude in amplitudes.items())
    is_train = torch.arange(p * p) % 3 == 0
    logits[torch.arange(p * p), total % p] += memorised * is_train
    neurons = torch.stack([of(f, total, p) for f in amplitudes for of in (wave, wave_after)], -1)
    numbers = torch.arange(p)
    embedding = torch.stack([of(f, numbers, p) for f in amplitudes for of in (wave, wave_after)], -1)
    whole: dict[str, Any] = {
        "logits": logits, "inputs": pairs, "targets": total % p, "a": a, "b": b, "mlp": neurons,
    }  # fmt: skip
    parts = {"train": is_train, "val": ~is_train}
    of_split = {split: {name: value[rows] for name, value in whole.items()} for split, rows in parts.items()}
    return GivenView(
        given_task=Table("+", p),
        given_params={"embed.weight": embedding},
        given_logits={split: part["logits"] for split, part in of_split.items()},
        given_targets={split: part["targets"] for split, part in of_split.items()},
        given_inputs={split: part["inputs"] for split, part in of_split.items()},
        given_factors={split: {"a": part["a"], "b": part["b"]} for split, part in of_split.items()},
        given_activations={split: {"block.0.mlp": part["mlp"]} for split, part in of_split.items()},
    )


def closed_form_loss(p: int, amplitudes: Mapping[int, float]) -> float:
    """The cross-entropy of these logits, which is the same for all pairs."""
    heights = [sum(u * math.cos(2 * math.pi * f * d / p) for f, u in amplitudes.items()) for d in range(p)]
    return math.log(sum(map(math.exp, heights))) - heights[0]


def wave(frequency: int, number: Tensor, p: int) -> Tensor:
    return (2 * math.pi / p * frequency * number.double()).cos()


def wave_after(frequency: int, number: Tensor, p: int) -> Tensor:
    return (2 * math.pi / p * frequency * number.double()).sin()


def sum_of(parts: Any) -> Tensor:
    return torch.stack(list(parts)).sum(0)
