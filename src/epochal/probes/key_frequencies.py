"""Which frequencies a network of modular arithmetic computes with, and how many."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.probes.modular.closed_form import closed_form
from epochal.probes.modular.key_frequencies import KeyFrequencyOptions, is_key, rank
from epochal.probes.modular.logit_waves import logit_waves


@probe(
    columns={"num_key_frequencies": 0, "key_frequencies": 1},
    unit="cycles per modulus",
    low=0.0,
    high=math.inf,
    null="0 of them: no frequency explains its share of the logits' variance",
    cost="one evaluation of both splits, and sums over the table of pairs times classes",
    source="Nanda et al. 2023, section 4.1, by the logits; the rule is ours (a share of their variance)",
)
def key_frequencies(options: KeyFrequencyOptions, view: View) -> dict[str, Tensor]:
    """Their number, and each of them, the one with the largest share of the logits' variance first, then
    zeros.

    A frequency's share is what ``cos(w(a + b))`` and ``sin(w(a + b))``, ``w = 2 pi f / p``, explain; the
    frequencies are 1 .. p // 2. See ``logit_alignment`` for the shares. For products they are those of
    discrete logarithms.
    """
    waves = logit_waves(view)
    chosen = is_key(options, waves)
    order = rank(waves.shares).argsort()
    is_first = chosen[order]
    in_front = (~is_first).long().argsort(stable=True)  # given ones need not be the largest
    found = torch.where(is_first, order + 1, 0)[in_front]
    return {"num_key_frequencies": chosen.double().sum(), "key_frequencies": found.double()}


def truth() -> Iterator[tuple[Any, ...]]:
    network = closed_form(11, {2: 3.0, 5: 4.0})
    yield network, {"num_key_frequencies": 2, "key_frequencies": [5, 2, 0, 0, 0]}
    yield (
        KeyFrequencyOptions(threshold=0.5),
        network,
        {"num_key_frequencies": 1, "key_frequencies": [5, 0, 0, 0, 0]},
    )
    yield (
        KeyFrequencyOptions(frequencies=(2, 1)),
        network,
        {"num_key_frequencies": 2, "key_frequencies": [2, 1, 0, 0, 0]},
    )
    yield (
        KeyFrequencyOptions(number=1),
        network,
        {"num_key_frequencies": 1, "key_frequencies": [5, 0, 0, 0, 0]},
    )
    constant = closed_form(7, {1: 0.0})
    yield constant, {"num_key_frequencies": 0, "key_frequencies": [0, 0, 0]}
