"""Where the arithmetic of softmax ends: losses of exactly zero, and terms that vanish."""

from collections.abc import Iterator

import torch
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import NoOptions


@probe(
    columns=("train_softmax_collapse", "train_zero_gradient", "train_zero_terms"),
    unit="fraction",
    low=0.0,
    high=1.0,
    null="0, while logits are small against the number format",
    cost="one forward pass over the training set, shared with loss",
    source="Prieto et al. 2025, section 3 (softmax collapse); in the number format of the logits",
)
def softmax_collapse(options: NoOptions, view: View) -> dict[str, Tensor]:
    """Over the examples that train (and their positions), as training computes them.

    ``train_softmax_collapse``: the right term absorbs the sum of all, so that its probability is exactly 1
    and its logit has no gradient. ``train_zero_gradient``: nor has any other logit, since every other term is
    exactly 0. ``train_zero_terms``: share of the terms ``exp(z - max z)`` that are exactly 0, of all examples
    and classes.
    """
    logits, targets = view.logits("train"), view.targets("train")
    terms = (logits - logits.amax(-1, keepdim=True)).exp()
    right = terms.gather(-1, targets[..., None])[..., 0]
    is_collapsed = terms.sum(-1) == right
    is_other = torch.arange(logits.shape[-1], device=logits.device) != targets[..., None]
    has_no_gradient = is_collapsed & ~((terms != 0) & is_other).any(-1)
    return {
        "train_softmax_collapse": is_collapsed.double().mean(),
        "train_zero_gradient": has_no_gradient.double().mean(),
        "train_zero_terms": (terms == 0).double().mean(),
    }


def truth() -> Iterator[tuple[View, dict[str, float]]]:
    # exp(-20) is below half the spacing of float32 at 1, exp(-15) is not; exp(-104) and less are 0.
    logits = torch.tensor([[0.0, 15.0, 0.0], [20.0, 0.0, 0.0], [0.0, 0.0, 200.0], [0.0, 200.0, 0.0]])
    targets = torch.tensor([1, 0, 2, 0])
    yield (
        GivenView(given_logits={"train": logits}, given_targets={"train": targets}),
        {"train_softmax_collapse": 0.5, "train_zero_gradient": 0.25, "train_zero_terms": 4 / 12},
    )
    yield (
        GivenView(given_logits={"train": logits[:2].double()}, given_targets={"train": targets[:2]}),
        {"train_softmax_collapse": 0.0, "train_zero_gradient": 0.0, "train_zero_terms": 0.0},
    )
