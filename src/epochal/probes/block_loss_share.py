"""Which block made the loss fall? The last update's effect on the loss, block by block."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import GivenView, View
from epochal.core.values.options import NoOptions

COLUMNS = ("block_loss_decrease", "block_loss_share")


def _labels(options: NoOptions, view: View) -> Mapping[str, Sequence[str]]:
    return {column: list(_blocks(view)) for column in COLUMNS}


@probe(
    columns=dict.fromkeys(COLUMNS, 1),
    unit="nat; fraction",
    low=-math.inf,
    high=math.inf,
    null="0, for a block that the update leaves alone",
    cost="one forward and one backward pass over probe_samples examples",
    source="-<g, delta> per block, g half-way along the update (midpoint rule; the mean value of the slope)",
    labels=_labels,
)
def block_loss_share(options: NoOptions, view: View) -> dict[str, Tensor]:
    """``-<g_b, delta_b>`` of every block b, delta the last update, and each one's share of their sum.

    g is the gradient of the objective on the probe's sample at ``flat - delta / 2``: the sum over blocks is
    the whole fall of that loss over this update up to third order, exactly so for a quadratic loss. A
    negative number is a block whose update raised the loss. Shares are 0 where nothing moved, as at step 0.
    Blocks are the network's sub-modules (``embed``, ``block.0``, ...), in the order of the parameters.
    Measured while training only: snapshots do not hold the last update.
    """
    delta = view.last_update()
    slope = torch.func.grad(view.sample_loss_at)(view.flat - delta / 2)
    falls = view.layout.unflatten(-(slope.double() * delta.double()))
    found = torch.stack(
        [torch.stack([falls[name].sum() for name in names]).sum() for names in _blocks(view).values()]
    )
    total = found.sum()
    shares = torch.where(total == 0, 0.0, found / torch.where(total == 0, 1.0, total))
    return dict(zip(COLUMNS, (found, shares), strict=True))


def _blocks(view: View) -> dict[str, list[str]]:
    """Parameters by block: the first part of their name, and the second where that is a number."""
    blocks: dict[str, list[str]] = {}
    for name in view.layout.names:
        first, *rest = name.split(".")
        block = f"{first}.{rest[0]}" if rest and rest[0].isdigit() else first
        blocks.setdefault(block, []).append(name)
    return blocks


def truth() -> Iterator[tuple[Any, ...]]:
    # |w|^2 / 2 falls from (4, 2, 1) to (3, 1, 2): by 3.5, 1.5 and -1.5.
    params = {"embed.weight": torch.tensor([3.0]), "block.0.w": torch.tensor([1.0])}
    params |= {"block.0.b": torch.tensor([2.0])}
    quadratic = GivenView(
        given_params={name: value.double() for name, value in params.items()},
        given_update=torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64),
        given_loss=lambda flat: flat.square().sum() / 2,
    )
    yield quadratic, {"block_loss_decrease": [3.5, 0.0], "block_loss_share": [1.0, 0.0]}
    still = GivenView(given_params=params, given_loss=lambda flat: flat.sum())
    yield still, {"block_loss_decrease": [0.0, 0.0], "block_loss_share": [0.0, 0.0]}
