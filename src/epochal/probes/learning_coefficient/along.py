"""The coefficient of several snapshots of a network, sampled together.

Chains of one small network leave a processor idle: most of a step is the dispatch of its operations. So many
times as fast, per snapshot of four chains, as one snapshot after the other (one thread of a CPU, float32,
batches of 256, of 64 for the ResNet; processor time, medians of five turns in one process; MiB are what a
chain keeps from its forward for its backward pass, and its parameters):

    network                        kept  parameters  2 at once     4     8    16
    MLP 72-32-23                    .08         .01       1.46  2.04  2.34  2.23
    transformer, width 32           .62         .05       1.25  1.45  1.45  1.42
    MLP 64-100-100-100-10           .47         .11       1.20  1.32  1.28  1.19
    MLP 64-200-200-200-10          1.03         .36       1.12  1.17  1.14
    ResNet18, width 4              1.32         .17       1.22  1.42  1.49
    transformer, width 128 (MIML)  3.00         .81       1.05   .98

Large networks gain nothing, and are sampled one by one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from epochal.analysis.chains.learning_coefficient import Estimate
from epochal.core.tensors.view import View
from epochal.probes.learning_coefficient.potential import EXAMPLES_AT_ONCE, LossesAlong, NetworkLoss
from epochal.probes.learning_coefficient.restriction import restriction
from epochal.probes.learning_coefficient.sampling import Start, coefficients, start_of
from epochal.probes.learning_coefficient.settings import Settings

GROUP_BYTES = 48 << 20
"""At most, of chains that are sampled together: above it they gain less, or lose. A constant, not this
machine's cache; on a GPU nothing was measured."""

VECTORS = 6
"""Of the length of the parameters that a sampler holds for a chain: positions, gradient, force, noise."""

MOST_AT_ONCE = 8
"""Snapshots: more gain little, and an interrupted trajectory loses those that it is at."""


def num_at_once(loss: NetworkLoss, flat: Tensor, settings: Settings) -> int:
    """How many snapshots of such a network fit into :data:`GROUP_BYTES` together, 1 at least."""
    settings = settings.checked(loss.size)
    assert settings.batch_size is not None
    examples, most = settings.batch_size, MOST_AT_ONCE
    if examples == loss.size:  # full batches: as many as a pass takes, so that its pieces stay the same
        most = min(most, EXAMPLES_AT_ONCE // (settings.chains * examples))
    if most < 2:
        return 1
    of_chain = loss.bytes_kept(flat, examples) + VECTORS * flat.nbytes
    return max(1, min(most, GROUP_BYTES // (settings.chains * of_chain)))


def estimates_along(
    views: Sequence[View], settings: Settings, restrict: tuple[str, ...]
) -> list[Estimate | None]:
    """Of each of one member's views, with its traces; None where parameters or loss are not finite.

    Raises:
        UserError: an option that does not fit the run.
    """
    mask = restriction(views[0].layout, restrict, views[0].flat)
    settings = settings.checked(views[0].size("train"))
    starts: dict[int, Start] = {}
    for number, view in enumerate(views):
        if bool(view.flat.isfinite().all()):
            start = start_of(loss_of(view), view.flat, settings, mask=mask)
            if start.is_finite:
                starts[number] = start
    if not starts:
        return [None] * len(views)
    sound = [views[number] for number in starts]
    loss = loss_of(sound[0]) if len(sound) == 1 else losses_along(sound)
    flat = torch.stack([view.flat for view in sound])
    estimates = coefficients(loss, flat, settings, list(starts.values()), mask=mask)
    found = dict(zip(starts, estimates, strict=True))
    return [found.get(number) for number in range(len(views))]


def loss_of(view: View) -> NetworkLoss:
    """The objective on examples of the training set, in evaluation mode."""
    return NetworkLoss.of(
        lambda flat, index: view.loss_on(view.examples("train", index), flat), view.size("train")
    )


def losses_along(views: Sequence[View]) -> NetworkLoss | LossesAlong:
    """The objectives of one member at several steps: each with its running statistics, and whatever else."""
    first = views[0]
    surroundings = {
        name: torch.stack([view.surroundings[name] for view in views]) for name in first.surroundings
    }
    if not surroundings:
        return loss_of(first)

    def row(flat: Tensor, index: Tensor, of_step: dict[str, Tensor]) -> Tensor:
        here = first.amid(of_step)
        return here.loss_on(here.examples("train", index), flat)

    return LossesAlong.of(row, first.size("train"), surroundings)
