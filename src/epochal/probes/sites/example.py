"""A linear chain in closed form, for the truths of probes that look at sites."""

from typing import Any

import torch
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.passage import Passage
from epochal.core.tensors.tap import Tap
from epochal.core.tensors.view import GivenView

INPUTS = [[3.0, 4.0], [0.0, 1.0], [6.0, 8.0]]


def chain(**given: Any) -> GivenView:
    """Sites ``first = x`` and ``second = 2 x`` (two numbers each); loss: the mean of ``a + 3 b``.

    (a, b) are the logits, the second site. So each example's gradient is (2, 6), then (1, 3).
    """
    inputs = torch.tensor(INPUTS, dtype=torch.float64)

    def run(x: Tensor, tap: Tap) -> Tensor:
        return tap("second", 2 * tap("first", x))

    batch = Batch(inputs=inputs, targets=torch.tensor([1, 0, 1]), weight=torch.ones(len(inputs)), factors={})
    weights = torch.tensor([1.0, 3.0], dtype=torch.float64)
    passage = Passage(run, lambda logits_of, batch: (logits_of(batch.inputs) @ weights).mean(), batch)
    return GivenView(given_passage=passage, **given)
