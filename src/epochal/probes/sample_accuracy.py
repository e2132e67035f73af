"""Accuracy and loss of the examples that the probes of sites look at."""

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from epochal.core.tensors.precision import wide
from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.core.values.options import NoOptions
from epochal.objectives.cross_entropy import negative_log_likelihood
from epochal.probes.sites.example import chain


@probe(
    columns=("sample_accuracy", "sample_loss"),
    unit="fraction; nat",
    low=0.0,
    high=math.inf,
    null="1 / number of classes and its negative logarithm, for guesses",
    cost="one forward pass over probe_samples examples, shared with other probes of sites",
    source="top-1 accuracy and mean negative log-likelihood, as accuracy and loss",
)
def sample_accuracy(options: NoOptions, view: View) -> dict[str, Tensor]:
    """Of the first ``probe_samples`` validation examples: the same as ``val_*`` where there are no more."""
    logits, targets = view.passage().logits, view.passage().batch.targets
    losses = negative_log_likelihood(logits.to(wide(logits.device)), targets)
    return {
        "sample_accuracy": (logits.argmax(-1) == targets).double().mean(),
        "sample_loss": losses.mean(),
    }


def truth() -> Iterator[tuple[Any, ...]]:
    # Logits (6, 8), (0, 2), (12, 16) with targets 1, 0, 1.
    losses = [math.log(1 + math.exp(-2.0)), math.log(1 + math.exp(2.0)), math.log(1 + math.exp(-4.0))]
    yield chain(), {"sample_accuracy": 2 / 3, "sample_loss": sum(losses) / 3}
