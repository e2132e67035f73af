"""Output margin: by how much the right logit exceeds the largest wrong one."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors.positions import smallest_of
from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import NoOptions


@probe(
    columns=("train_margin_median", "train_margin_smallest", "val_margin_median", "val_margin_smallest"),
    unit="logit",
    low=-math.inf,
    high=math.inf,
    null="0 or below: the largest wrong logit is at least as large as the right one",
    cost="one evaluation of both splits",
    source="z_y - max of the others, as in Lyu & Li 2020, section 2, not divided by a norm",
)
def margin(options: NoOptions, view: View) -> dict[str, Tensor]:
    """Median (the lower one of an even number) and smallest over the examples of a split.

    The margin of an answer with several positions is the smallest over them.

    The smallest is positive exactly where all examples are classified correctly.
    """
    columns: dict[str, Tensor] = {}
    for split in ("train", "val"):
        margins = _margins(view.logits(split), view.targets(split))
        columns[f"{split}_margin_median"] = margins.median(-1).values
        columns[f"{split}_margin_smallest"] = margins.amin(-1)
    return columns


def _margins(logits: Float[Tensor, "N *T C"], targets: Int64[Tensor, "N *T"]) -> Float[Tensor, " N"]:
    is_target = torch.arange(logits.shape[-1], device=logits.device) == targets[..., None]
    right = logits.gather(-1, targets[..., None])[..., 0]
    return smallest_of(right - logits.masked_fill(is_target, -math.inf).amax(-1))


def truth() -> Iterator[tuple[View, dict[str, float]]]:
    train = torch.tensor([[2.0, 0.5, -1.0], [0.0, 0.0, 3.0], [1.0, 4.0, 0.0]])
    yield (
        GivenView(
            given_logits={"train": train, "val": -train},
            given_targets={"train": torch.tensor([0, 2, 1]), "val": torch.tensor([0, 2, 1])},
        ),
        {
            "train_margin_median": 3.0, "train_margin_smallest": 1.5,
            "val_margin_median": -3.0, "val_margin_smallest": -4.0,
        },
    )  # fmt: skip
    pairs = torch.stack([train, train.flip(0)], dim=1)  # each example beside another one
    answers = torch.tensor([[0, 1], [2, 2], [1, 0]])
    yield (
        GivenView(
            given_logits={"train": pairs, "val": pairs}, given_targets={"train": answers, "val": answers}
        ),
        {
            "train_margin_median": 1.5, "train_margin_smallest": 1.5,
            "val_margin_median": 1.5, "val_margin_smallest": 1.5,
        },
    )  # fmt: skip
    same = torch.full((4, 5), 7.0)
    targets = torch.tensor([0, 1, 2, 3])
    yield (
        GivenView(
            given_logits={"train": same, "val": same}, given_targets={"train": targets, "val": targets}
        ),
        {"train_margin_median": 0.0, "val_margin_smallest": 0.0},
    )
