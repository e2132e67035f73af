"""Cross-entropy on the whole training and validation set."""

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.objectives.cross_entropy import negative_log_likelihood
from epochal.probes.splits.options import SplitOptions


def _columns(options: SplitOptions) -> tuple[str, ...]:
    return tuple(f"{split}_loss" for split in options.chosen)


@probe(
    columns=_columns,
    unit="nat",
    low=0.0,
    high=math.inf,
    null="log(number of classes), for uniform predictions",
    cost="one forward pass over both splits, shared with accuracy",
    source="mean negative log-likelihood, summed in float64",
)
def loss(options: SplitOptions, view: View) -> dict[str, Tensor]:
    """Mean over a split in evaluation mode, over all positions of its answers; 0 where certain and right."""
    return {
        f"{split}_loss": negative_log_likelihood(view.logits(split), view.targets(split)).double().mean()
        for split in options.chosen
    }


def truth() -> Iterator[tuple[Any, ...]]:
    # softmax(0, log 3) = (1/4, 3/4)
    logits = [[0.0, math.log(3.0)], [0.0, math.log(3.0)]]
    yield (
        GivenView(
            given_logits={"train": logits, "val": logits}, given_targets={"train": [1, 1], "val": [0, 1]}
        ),
        {"train_loss": math.log(4 / 3), "val_loss": (math.log(4) + math.log(4 / 3)) / 2},
    )
    yield (
        GivenView(
            given_logits={"train": [logits], "val": [logits]},
            given_targets={"train": [[1, 1]], "val": [[0, 1]]},
        ),
        {"train_loss": math.log(4 / 3), "val_loss": (math.log(4) + math.log(4 / 3)) / 2},
    )
    uniform = [[1.5] * 7] * 3
    yield (
        GivenView(
            given_logits={"train": uniform, "val": uniform},
            given_targets={"train": [0, 3, 6], "val": [1, 1, 1]},
        ),
        {"train_loss": math.log(7), "val_loss": math.log(7)},
    )
    only = GivenView(given_logits={"val": logits}, given_targets={"val": [1, 1]})
    yield SplitOptions(splits="val"), only, {"val_loss": math.log(4 / 3)}
