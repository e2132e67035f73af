"""How much of a neuron's variance over all pairs of operands is of one frequency."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from epochal.core.tensors.probe import probe
from epochal.core.tensors.view import View
from epochal.core.values.errors import UserError
from epochal.core.values.options import Options
from epochal.probes.modular.closed_form import closed_form
from epochal.probes.modular.pairs import pairs_of
from epochal.probes.modular.shares import share
from epochal.probes.modular.waves import coefficients, waves


class NeuronOptions(Options):
    """Which activations, and what counts as tuned."""

    site: str = Field(default="block.0.mlp", description="where in the network; the last position of several")
    threshold: float = Field(
        default=0.85, ge=0, le=1, description="share of its variance that makes a neuron tuned"
    )


@probe(
    columns={"neuron_share_mean": 0, "neurons_tuned": 0, "neuron_shares": 1, "neurons_by_frequency": 1},
    unit="fraction",
    low=0.0,
    high=1.0 + 1e-9,
    null="8 / p^2 for noise; some 6 / p for random networks, whose neurons are nearly f(a) + g(b)",
    cost="one evaluation with activations, and a transform of [p, p, neurons]",
    source="Nanda et al. 2023, section 4.3: variance in waves of one frequency, of degree two at most",
)
def neuron_frequencies(options: NeuronOptions, view: View) -> dict[str, Tensor]:
    """Share of each neuron's variance in the 8 waves of its best frequency w, products of two at most.

    These are cosine and sine of wa, of wb, and their four products. ``neuron_share_mean`` over the neurons
    that vary at all, ``neurons_tuned`` the share of those with more than ``threshold``; ``neuron_shares`` one
    per neuron (0 for a dead one); ``neurons_by_frequency`` the share of the neurons that vary whose best
    frequency it is, from 1 on.
    """
    shares = _shares(_neurons(options.site, view))
    best = shares.max(0)
    is_alive = (best.values > 0).double()
    count = is_alive.sum().clamp(min=1.0)
    frequency = torch.arange(len(shares), device=shares.device)
    is_best = (best.indices == frequency[:, None]) * is_alive
    return {
        "neuron_share_mean": best.values.sum() / count,
        "neurons_tuned": (best.values > options.threshold).double().sum() / count,
        "neuron_shares": best.values,
        "neurons_by_frequency": is_best.sum(-1) / count,
    }


def _neurons(site: str, view: View) -> Float[Tensor, "n n H"]:
    pairs = pairs_of(view)
    train, val = view.activations("train"), view.activations("val")
    if site not in train:
        raise UserError(f"site={site} is no site of this network; it has {', '.join(train)}")
    if train[site].ndim not in (2, 3):
        raise UserError(
            f"site={site} has activations {tuple(train[site].shape)}; this takes [N, H] or [N, S, H]"
        )
    both = pairs.arranged(train[site], val[site]).double()
    n = pairs.group.order
    return (both if both.ndim == 2 else both[:, -1]).reshape(n, n, -1)


def _shares(neurons: Float[Tensor, "n n H"]) -> Float[Tensor, "F H"]:
    """Share of the variance of each neuron in the waves of each frequency."""
    centred = neurons - neurons.mean((0, 1))
    cosines, sines = waves(len(neurons), neurons.device)
    energy: Tensor = torch.zeros((), dtype=neurons.dtype, device=neurons.device)
    constant = cosines[0]
    for in_a, is_sine in zip(coefficients(centred), (False, True), strict=True):  # [F, n, H] in a
        for in_b in (cosines, sines):
            energy = energy + torch.einsum("fnh,fn->fh", in_a, in_b)[1:] ** 2
            if not is_sine:
                energy = energy + torch.einsum("nh,fn->fh", in_a[0], in_b)[1:] ** 2
        energy = energy + torch.einsum("fnh,n->fh", in_a, constant)[1:] ** 2
    return share(energy, (centred**2).sum((0, 1)))


def truth() -> Iterator[tuple[Any, ...]]:
    yield (
        closed_form(11, {2: 3.0, 5: 4.0}),
        {
            "neuron_share_mean": 1.0,
            "neurons_tuned": 1.0,
            "neuron_shares": [1, 1, 1, 1],
            "neurons_by_frequency": [0, 0.5, 0, 0, 0.5],
        },
    )
    # A wave of 2 in a, one of 3 in b with half its power, and a neuron that is always on.
    mixed = closed_form(11, {2: 3.0, 3: 4.0})
    for sites, factors in zip(mixed.given_activations.values(), mixed.given_factors.values(), strict=True):
        angle = 2 * torch.pi / 11
        in_a, in_b = (2 * angle * factors["a"]).cos(), (3 * angle * factors["b"]).sin()
        sites["block.0.mlp"] = torch.stack([2**0.5 * in_a + in_b, torch.ones_like(in_a)], -1)
    yield (
        mixed,
        {
            "neuron_share_mean": 2 / 3,
            "neurons_tuned": 0.0,
            "neuron_shares": [2 / 3, 0],
            "neurons_by_frequency": [0, 1, 0, 0, 0],
        },
    )
