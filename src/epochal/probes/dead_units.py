"""Units that never act, and units that always do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.tap import Tap
from epochal.core.tensors.view import View
from epochal.core.values.errors import UserError
from epochal.core.values.options import NoOptions
from epochal.probes.sites.example import chain

COLUMNS = ("dead_units", "always_active_units")


def _labels(options: NoOptions, view: View) -> Mapping[str, Sequence[str]]:
    return {column: list(_signs(view)) for column in COLUMNS}


@probe(
    columns=dict.fromkeys(COLUMNS, 1),
    unit="fraction",
    low=0.0,
    high=1.0,
    null="0, where every unit is active for some examples and not for others",
    cost="one forward pass over probe_samples examples",
    source="share of ReLUs that never activate, as Lu et al. 2019 (Dying ReLU) count them, on given examples",
    labels=_labels,
)
def dead_units(options: NoOptions, view: View) -> dict[str, Tensor]:
    """Per layer: share of units whose pre-activation is positive for no example, and for every one.

    A convolution's unit is a channel: dead where it is positive at no place of any example. A unit of a
    sequence has all positions. A dead ReLU passes no gradient; one that is always active is linear.
    """
    signs = _signs(view)
    if not signs:
        raise UserError(
            "this network showed no units before a non-linearity: use modules such as nn.ReLU instead of "
            "functions, or let forward(inputs, tap) call tap.before(name, h)"
        )
    return {
        "dead_units": torch.stack([(~some).double().mean() for some, _ in signs.values()]),
        "always_active_units": torch.stack([every.double().mean() for _, every in signs.values()]),
    }


def _signs(view: View) -> dict[str, tuple[Bool[Tensor, " U"], Bool[Tensor, " U"]]]:
    """Per layer and unit: positive anywhere, positive everywhere."""
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def watch(layer: str, value: Tensor) -> None:
        # Channels of images are the second axis, units of vectors and sequences the last.
        rows = (value.movedim(1, -1) if value.ndim == 4 else value).flatten(0, -2) > 0
        some, every = rows.any(0), rows.all(0)
        if layer in found:
            some, every = found[layer][0] | some, found[layer][1] & every
        found[layer] = (some, every)

    view.predict(view.passage().batch.inputs, Tap(watch=watch))
    return found


def truth() -> Iterator[tuple[Any, ...]]:
    """Inputs (3, 4), (0, 1), (6, 8)."""

    def network(x: Tensor, tap: Tap) -> Tensor:
        # x_0 is never negative and once 0; x_1 is always positive; the others never are, or sometimes.
        units = torch.stack([x[:, 0], x[:, 1], -x[:, 0], 2 - x[:, 1]], -1)
        images = x[:, :, None, None] * torch.tensor([[-1.0, 0.0], [0.0, -2.0]], dtype=x.dtype)
        tap.before("images", images)
        return tap.before("vectors", units)

    yield (
        chain(given_network=network),
        {"dead_units": [1.0, 0.25], "always_active_units": [0.0, 0.25]},
    )
