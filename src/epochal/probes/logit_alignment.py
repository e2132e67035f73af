"""How much of the logits are waves ``cos(w(a + b - c))``, as in the algorithm that networks find."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.probes.modular.closed_form import closed_form
from epochal.probes.modular.key_frequencies import KeyFrequencyOptions, is_key
from epochal.probes.modular.logit_waves import logit_waves


@probe(
    columns={
        "logit_alignment": 0,
        "logit_alignment_key": 0,
        "logit_alignment_by_frequency": 1,
        "logit_share_by_frequency": 1,
    },
    unit="fraction",
    low=0.0,
    high=1.0 + 1e-9,
    null="about (p // 2) / p^3 for logits without structure",
    cost="one evaluation of both splits, and sums over the table of pairs times classes",
    source="Nanda et al. 2023, section 4.2 (fraction of variance explained), all frequencies at once",
)
def logit_alignment(options: KeyFrequencyOptions, view: View) -> dict[str, Tensor]:
    """Shares of the variance of the logits over pairs and classes, 1 for the closed form.

    ``logit_alignment``: in ``cos(w(a + b - c))`` of all frequencies together, ``_key`` of the key ones,
    ``_by_frequency`` of each (from 1). ``logit_share_by_frequency``: in ``cos(w(a + b))`` and ``sin(w(a +
    b))``, each class with a phase of its own, by which key frequencies are chosen. Means over classes and
    over pairs are taken off first.
    """
    waves = logit_waves(view)
    return {
        "logit_alignment": waves.alignment.sum(),
        "logit_alignment_key": (waves.alignment * is_key(options, waves)).sum(),
        "logit_alignment_by_frequency": waves.alignment,
        "logit_share_by_frequency": waves.shares,
    }


def truth() -> Iterator[tuple[Any, ...]]:
    yield (
        closed_form(11, {2: 3.0, 5: 4.0}),
        {
            "logit_alignment": 1.0,
            "logit_alignment_key": 1.0,
            "logit_alignment_by_frequency": [0, 9 / 25, 0, 0, 16 / 25],
            "logit_share_by_frequency": [0, 9 / 25, 0, 0, 16 / 25],
        },
    )
    yield (
        closed_form(7, {1: 0.0}),
        {
            "logit_alignment": 0.0,
            "logit_alignment_key": 0.0,
            "logit_alignment_by_frequency": [0, 0, 0],
            "logit_share_by_frequency": [0, 0, 0],
        },
    )
