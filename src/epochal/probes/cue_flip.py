"""What predictions do when the cue says something else and the image stays the same."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.core.values.options import NoOptions
from epochal.probes.shortcuts import needs
from epochal.probes.shortcuts.example import core_reader, cued, patch_reader
from epochal.probes.shortcuts.forward import logits_of
from epochal.probes.shortcuts.stamps import other_code


@probe(
    columns=("flip_rate", "follow_rate"),
    unit="fraction",
    low=0.0,
    high=1.0,
    null="0, where the cue is not read",
    cost="two forward passes over probe_samples examples",
    source="counterfactual flip rate of the cue; the other code is fixed per example and seed",
    requires=needs.a_cue("cue_flip"),
)
def cue_flip(options: NoOptions, view: View) -> dict[str, Tensor]:
    """``flip_rate``: share of predictions that change with the code, for another code of the same image.

    ``follow_rate``: share of predictions that are the code's class both before and after, hence follow it.
    """
    batch = view.sample()
    code = batch.factors["code"]
    changed = other_code(view, batch, code)
    before = logits_of(view, batch.inputs).argmax(-1)
    after = logits_of(view, view.task.restamped(batch, changed).inputs).argmax(-1)
    follows = (before == code) & (after == changed)
    return {"flip_rate": (before != after).double().mean(), "follow_rate": follows.double().mean()}


def truth() -> Iterator[tuple[Any, ...]]:
    yield cued(patch_reader), {"flip_rate": 1.0, "follow_rate": 1.0}
    yield cued(core_reader), {"flip_rate": 0.0, "follow_rate": 0.0}
    # Against the cue: all change, none follows.
    yield cued(lambda inputs, tap: -patch_reader(inputs, tap)), {"flip_rate": 1.0, "follow_rate": 0.0}
