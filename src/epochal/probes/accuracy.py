"""Share of examples whose largest logit is the target's."""

from collections.abc import Iterator

from torch import Tensor

from epochal.core.tensors.positions import all_of
from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import NoOptions


@probe(
    columns=("train_accuracy", "val_accuracy"),
    unit="fraction",
    low=0.0,
    high=1.0,
    null="1 / number of classes, for guesses",
    cost="one forward pass over both splits, shared with loss",
    source="top-1 accuracy; among equal logits the first class counts as the prediction",
)
def accuracy(options: NoOptions, view: View) -> dict[str, Tensor]:
    """In [0, 1], over a whole split in evaluation mode; right is an answer that is right at all positions."""
    return {
        "train_accuracy": all_of(view.logits("train").argmax(-1) == view.targets("train")).double().mean(),
        "val_accuracy": all_of(view.logits("val").argmax(-1) == view.targets("val")).double().mean(),
    }


def truth() -> Iterator[tuple[View, dict[str, float]]]:
    logits = [[3.0, 1.0, 2.0], [0.0, 5.0, 1.0], [0.0, 0.0, 1.0], [9.0, 0.0, 0.0]]
    yield (
        GivenView(
            given_logits={"train": logits, "val": logits},
            given_targets={"train": [0, 1, 2, 1], "val": [1, 2, 0, 0]},
        ),
        {"train_accuracy": 0.75, "val_accuracy": 0.25},
    )
    pairs = [logits[:2], logits[2:]]
    yield (
        GivenView(
            given_logits={"train": pairs, "val": pairs},
            given_targets={"train": [[0, 1], [2, 1]], "val": [[1, 1], [0, 0]]},
        ),
        {"train_accuracy": 0.5, "val_accuracy": 0.0},
    )
