"""Restricted and excluded loss: the generalising circuit alone, and the network without it."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.objectives.cross_entropy import negative_log_likelihood
from epochal.probes.modular.closed_form import closed_form, closed_form_loss
from epochal.probes.modular.key_frequencies import KeyFrequencyOptions, is_key
from epochal.probes.modular.logit_waves import logit_waves


@probe(
    columns=("restricted_loss", "excluded_loss"),
    unit="nat",
    low=0.0,
    high=math.inf,
    null="without key frequencies: about log p restricted, the training loss excluded",
    cost="one evaluation of both splits, and sums over the table of pairs times classes",
    source="Nanda et al. 2023, section 5.1; key frequencies are those of the same step unless given",
)
def progress_measures(options: KeyFrequencyOptions, view: View) -> dict[str, Tensor]:
    """Cross-entropy of logits of which only the key frequencies are kept, or only they are taken out.

    ``restricted_loss``: over all pairs, of the mean logits plus their parts in ``cos(w(a + b))``, ``sin(w(a +
    b))`` of the key frequencies w. ``excluded_loss``: over the pairs that train, of the logits without these
    parts; log p where nothing else is left. Give ``frequencies`` (those of the last step) for the measure as
    published, which knows where training ends.
    """
    waves = logit_waves(view)
    chosen, pairs = is_key(options, waves), waves.pairs
    n = pairs.group.order
    targets = pairs.targets.reshape(n, n)
    i = torch.arange(n, device=targets.device)
    restricted = waves.restricted(chosen).log_softmax(-1)
    kept = -restricted[(i[:, None] + i) % n, targets]
    left = negative_log_likelihood(waves.excluded(chosen).flatten(0, 1), pairs.targets)
    train = pairs.is_train.double()
    return {"restricted_loss": kept.mean(), "excluded_loss": (left * train).sum() / train.sum()}


def truth() -> Iterator[tuple[Any, ...]]:
    both = {2: 3.0, 5: 4.0}
    loss = closed_form_loss(11, both)
    yield closed_form(11, both), {"restricted_loss": loss, "excluded_loss": math.log(11)}
    yield (
        KeyFrequencyOptions(number=1),
        closed_form(11, both),
        {"restricted_loss": closed_form_loss(11, {5: 4.0}), "excluded_loss": closed_form_loss(11, {2: 3.0})},
    )
    yield closed_form(7, {1: 0.0}), {"restricted_loss": math.log(7), "excluded_loss": math.log(7)}
