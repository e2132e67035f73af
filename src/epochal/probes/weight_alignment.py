"""How far feedback matrices have come to point where the weights do that they stand for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from epochal.core.tensors.precision import wide
from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import NoOptions
from epochal.probes.sites.rows import Directions, cosines


def _labels(options: NoOptions, view: View) -> Mapping[str, Sequence[str]]:
    return {"weight_alignment": _pairs(view)}


@probe(
    columns={"weight_alignment": 1},
    unit="cosine",
    low=-1.0,
    high=1.0,
    null="0, for independent matrices; deviation 1 / sqrt(number of weights)",
    cost="one pass over the weights",
    source="Lillicrap et al. 2016, figure 3 (there as an angle); Akrout et al. 2019",
    labels=_labels,
)
def weight_alignment(options: NoOptions, view: View) -> dict[str, Tensor]:
    """Cosine of each feedback matrix with the weight whose transpose it replaces; 1 is backprop.

    Both as vectors; one number per weight that has one, in the order of the rule: of rules that send errors
    back layer by layer (fa, sign_symmetry, kolen_pollack, weight_mirror). Direct feedback stands for all
    later weights at once and has none of these: its columns are empty, as are those of rules without
    feedback. NaN where either is zero.
    """
    found = [
        cosines(Directions.of(view.memory[name][None]), Directions.of(view.params[name][None]))[0]
        for name in _pairs(view)
    ]
    none = torch.zeros(0, dtype=wide(view.flat.device), device=view.flat.device)
    return {"weight_alignment": torch.stack(found) if found else none}


def _pairs(view: View) -> list[str]:
    """Feedback that is kept under the name of a weight, in its shape."""
    params = view.params
    return [name for name, own in view.memory.items() if name in params and own.shape == params[name].shape]


def truth() -> Iterator[tuple[Any, ...]]:
    weight = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    params = {"a.weight": weight, "a.bias": torch.ones(2), "b.weight": weight, "c.weight": weight}
    feedback = {
        "a.weight": torch.tensor([[0.0, 0.0], [0.0, 1.0]]),
        "b.weight": -2e-30 * weight,
        "block.0": torch.ones(2, 2),
    }
    yield GivenView(given_params=params, given_memory=feedback), {"weight_alignment": [0.8, -1.0]}
    yield GivenView(given_params=params), {"weight_alignment": []}
