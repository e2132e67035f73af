"""Share of examples whose largest logit is the target's."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from epochal.core.tensors.positions import all_of
from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.probes.splits.options import SplitOptions


def _columns(options: SplitOptions) -> tuple[str, ...]:
    return tuple(f"{split}_accuracy" for split in options.chosen)


@probe(
    columns=_columns,
    unit="fraction",
    low=0.0,
    high=1.0,
    null="1 / number of classes, for guesses",
    cost="one forward pass over both splits, shared with loss",
    source="top-1 accuracy; among equal logits the first class counts as the prediction",
)
def accuracy(options: SplitOptions, view: View) -> dict[str, Tensor]:
    """In [0, 1], over a whole split in evaluation mode; right is an answer that is right at all positions."""
    return {
        f"{split}_accuracy": all_of(view.logits(split).argmax(-1) == view.targets(split)).double().mean()
        for split in options.chosen
    }


def truth() -> Iterator[tuple[Any, ...]]:
    logits = [[3.0, 1.0, 2.0], [0.0, 5.0, 1.0], [0.0, 0.0, 1.0], [9.0, 0.0, 0.0]]
    view = GivenView(
        given_logits={"train": logits, "val": logits},
        given_targets={"train": [0, 1, 2, 1], "val": [1, 2, 0, 0]},
    )
    yield view, {"train_accuracy": 0.75, "val_accuracy": 0.25}
    yield SplitOptions(splits="val"), view, {"val_accuracy": 0.25}
    yield SplitOptions(splits="train"), view, {"train_accuracy": 0.75}
    pairs = [logits[:2], logits[2:]]
    yield (
        GivenView(
            given_logits={"train": pairs, "val": pairs},
            given_targets={"train": [[0, 1], [2, 1]], "val": [[1, 1], [0, 0]]},
        ),
        {"train_accuracy": 0.5, "val_accuracy": 0.0},
    )
