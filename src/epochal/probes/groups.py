"""Who is served: accuracy by group of target and cue, of the worst group, by class; area under the ROC."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor

from epochal.core.tensors.probe import Rank, probe
from epochal.core.tensors.task import Split
from epochal.core.tensors.view import View
from epochal.core.values.options import Options
from epochal.probes.shortcuts import needs
from epochal.probes.shortcuts.example import CorneredImages, core_reader, cued, patch_reader
from epochal.probes.shortcuts.roc import area
from epochal.probes.shortcuts.shares import is_in, lowest, mean_of_defined, mean_where, per_group

COLUMNS: Mapping[str, Rank] = {
    "group_accuracy": 1, "worst_group_accuracy": 0, "aligned_accuracy": 0, "conflicting_accuracy": 0,
    "balanced_accuracy": 0, "core_accuracy": 0, "auc": 0,
}  # fmt: skip


class GroupOptions(Options):
    """Of which examples."""

    split: Split = Field(default="val", description="of which examples")


def _labels(options: GroupOptions, view: View) -> Mapping[str, Sequence[str]]:
    classes = [f"target {c}" for c in range(view.task.num_classes)]
    if not needs.has_cue(view.task):
        return {"group_accuracy": classes}
    return {"group_accuracy": [f"{name} {cue}" for name in classes for cue in ("conflicting", "aligned")]}


@probe(
    columns=COLUMNS,
    unit="fraction",
    low=0.0,
    high=1.0,
    null="1 / number of classes, for guesses; auc 1/2",
    cost="logits shared with loss",
    source="Sagawa et al. 2020 (worst group); auc: Mann-Whitney, one against the rest",
    labels=_labels,
    requires=needs.images("groups"),
)
def groups(options: GroupOptions, view: View) -> dict[str, Tensor]:
    """Groups are 2 * target + (the cue's code is the target): conflicting and aligned examples of each class.

    Without a cue they are the classes.

    ``worst_group_accuracy`` is the smallest of the groups that occur, ``balanced_accuracy`` the mean over
    classes that occur, ``core_accuracy`` against the clean label. ``auc`` of several classes is the mean over
    classes; a tie counts 1/2. What has no examples is NaN.
    """
    batch, logits = view.data(options.split), view.logits(options.split)
    targets, predicted, num = batch.targets, logits.argmax(-1), view.task.num_classes
    is_right = predicted == targets
    if needs.has_cue(view.task):
        by_group = per_group(is_right, batch.factors["group"], 2 * num)
        is_aligned = batch.factors["is_aligned"].bool()
    else:
        by_group = per_group(is_right, targets, num)
        is_aligned = None
    nothing = by_group.new_full((), torch.nan)
    return {
        "group_accuracy": by_group,
        "worst_group_accuracy": lowest(by_group),
        "aligned_accuracy": nothing if is_aligned is None else mean_where(is_right, is_aligned),
        "conflicting_accuracy": nothing if is_aligned is None else mean_where(is_right, ~is_aligned),
        "balanced_accuracy": mean_of_defined(per_group(is_right, targets, num)),
        "core_accuracy": (predicted == batch.factors["label"]).double().mean(),
        "auc": _auc(logits.double(), targets, num),
    }


def _auc(logits: Float[Tensor, "N C"], targets: Int64[Tensor, " N"], num: int) -> Float[Tensor, ""]:
    if num == 2:
        return area(logits[:, 1] - logits[:, 0], targets == 1)
    chances = torch.softmax(logits, -1)
    is_one: Bool[Tensor, "C N"] = is_in(targets, num)
    return mean_of_defined(torch.stack([area(chances[:, c], is_one[c]) for c in range(num)]))


def truth() -> Iterator[tuple[Any, ...]]:
    def expected(by_group: list[float], **others: float) -> dict[str, Any]:
        right = {"balanced_accuracy": 1.0, "core_accuracy": 1.0, "auc": 1.0}
        aligned = {"aligned_accuracy": by_group[1], "conflicting_accuracy": by_group[0]}
        worst = min(value for value in by_group if value == value)
        return {"group_accuracy": by_group, "worst_group_accuracy": worst, **aligned, **right, **others}

    guess = {"balanced_accuracy": 0.5, "core_accuracy": 0.5, "auc": 0.5}
    yield cued(patch_reader), expected([0.0, 1.0, 0.0, 1.0], **guess)
    yield cued(core_reader), expected([1.0] * 4)
    constant = {"aligned_accuracy": 0.5, "conflicting_accuracy": 0.5}
    always_0 = cued(lambda inputs, tap: core_reader(inputs, tap) * 0)
    yield always_0, expected([1.0, 1.0, 0.0, 0.0], **guess, **constant)
    # Where the cue always agrees nothing conflicts, and a reader of the cue looks perfect.
    agreeing = [place // 2 % 2 for place in range(16)]
    nan = float("nan")
    yield cued(patch_reader, code=agreeing), expected([nan, 1.0, nan, 1.0])
    without = replace(cued(patch_reader), given_task=CorneredImages(cue_kind="none"))
    yield without, expected([0.5, 0.5], **guess, aligned_accuracy=nan, conflicting_accuracy=nan)
