"""What a linear read-out finds at each site: the core and the cue."""

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.tap import Tap
from epochal.core.tensors.view import View
from epochal.core.values.options import Options
from epochal.probes.shortcuts import needs
from epochal.probes.shortcuts.example import core_reader, cued, patch_reader
from epochal.probes.shortcuts.forward import site_means, site_names
from epochal.probes.shortcuts.linear import equal_mass, ridge_scores
from epochal.probes.shortcuts.shares import is_in, mean_of_defined, mean_where
from epochal.probes.shortcuts.stamps import balanced_code


class DecodabilityOptions(Options):
    """Of the read-out."""

    ridge: float = Field(default=1e-3, gt=0, description="penalty, relative to the variance of a feature")


def _labels(options: DecodabilityOptions, view: View) -> dict[str, list[str]]:
    sites = site_names(view, view.sample().inputs)
    return {"core_decodability": sites, "cue_decodability": sites}


@probe(
    columns={"core_decodability": 1, "cue_decodability": 1},
    unit="fraction",
    low=0.0,
    high=1.0,
    null="1 / number of classes (or codes), where a site does not tell them",
    cost="one forward pass over probe_samples examples, and two least squares per site",
    source="linear probes, Alain & Bengio 2016, by least squares on one-hot classes with a ridge",
    labels=_labels,
    requires=needs.a_cue("decodability"),
)
def decodability(options: DecodabilityOptions, view: View) -> dict[str, Tensor]:
    """Accuracy by site, balanced over classes, on one half of the examples of a read-out fitted on the other.

    The images are stamped anew, so that every label meets every code equally often in both halves: what
    knows only one of them is at chance for the other, whatever their agreement in the data. Features are the
    means over places of each channel. ``core`` is the clean label, ``cue`` the code.
    """
    batch = view.sample()
    code, half = balanced_code(view, batch)
    label, task = batch.factors["label"], view.task
    sites = site_means(view, task.restamped(batch, code).inputs)

    def accuracy(x: Tensor, classes: Tensor, num: int) -> Tensor:
        weight = equal_mass(classes, num, half == 0)
        scores = ridge_scores(x, classes, num, weight, options.ridge)
        is_right = (scores.argmax(-1) == classes).double()
        by_class = mean_where(is_right, is_in(classes, num) & (half == 1))
        return mean_of_defined(by_class)

    core = [accuracy(x, label, task.num_classes) for x in sites.values()]
    cue = [accuracy(x, code, task.num_codes) for x in sites.values()]
    none = batch.inputs.new_zeros(0)
    return {
        "core_decodability": torch.stack(core) if core else none,
        "cue_decodability": torch.stack(cue) if cue else none,
    }


def truth() -> Iterator[tuple[Any, ...]]:
    # Site map: three channels; last: the score.
    yield cued(patch_reader), {"core_decodability": [0.5, 0.5], "cue_decodability": [1.0, 1.0]}
    yield cued(core_reader), {"core_decodability": [1.0, 1.0], "cue_decodability": [0.5, 0.5]}

    def both(inputs: Tensor, tap: Tap) -> Tensor:
        features = torch.cat([patch_reader(inputs)[:, :1], core_reader(inputs)[:, :1]], dim=-1)
        return tap("both", features) + 0

    yield cued(both), {"core_decodability": [1.0], "cue_decodability": [1.0]}
    # Even where the data let label and code agree always.
    agreeing = [place // 2 % 2 for place in range(16)]
    yield (
        cued(patch_reader, code=agreeing),
        {"core_decodability": [0.5, 0.5], "cue_decodability": [1.0, 1.0]},
    )
