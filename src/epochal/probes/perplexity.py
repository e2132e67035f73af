"""Perplexity: the number of equally likely answers that a network's uncertainty is worth."""

import math
from collections.abc import Iterator

from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import NoOptions
from epochal.objectives.cross_entropy import negative_log_likelihood


@probe(
    columns=("train_perplexity", "val_perplexity"),
    unit="classes",
    low=1.0,
    high=math.inf,
    null="number of classes, for uniform predictions",
    cost="one forward pass over both splits, shared with loss",
    source="exp of the mean negative log-likelihood (over positions too), as in openai/grok",
)
def perplexity(options: NoOptions, view: View) -> dict[str, Tensor]:
    """1 for certain and correct predictions."""
    columns = {}
    for split in ("train", "val"):
        logits, targets = view.logits(split).double(), view.targets(split)
        losses = negative_log_likelihood(logits.flatten(0, -2), targets.flatten())
        columns[f"{split}_perplexity"] = losses.mean().exp()
    return columns


def truth() -> Iterator[tuple[View, dict[str, float]]]:
    # softmax(0, log 3) = (1/4, 3/4)
    logits = [[0.0, math.log(3.0)], [0.0, math.log(3.0)]]
    uniform = [[1.5] * 7] * 3
    yield (
        GivenView(
            given_logits={"train": logits, "val": uniform},
            given_targets={"train": [0, 1], "val": [1, 1, 6]},
        ),
        {"train_perplexity": math.sqrt(4 * 4 / 3), "val_perplexity": 7.0},
    )
