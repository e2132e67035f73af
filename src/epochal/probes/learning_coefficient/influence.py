"""How each example shapes a trained module: the Bayesian influence function and susceptibilities."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict, Unpack

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from epochal.analysis.chains.learning_coefficient import Estimate, estimate
from epochal.analysis.chains.responses import covariances
from epochal.analysis.chains.responses import susceptibilities as responses
from epochal.core.tensors.layout import Layout
from epochal.core.values.errors import UserError
from epochal.probes.learning_coefficient.effort import Progress, silent
from epochal.probes.learning_coefficient.first_steps import steps_of
from epochal.probes.learning_coefficient.module import problem
from epochal.probes.learning_coefficient.potential import EXAMPLES_AT_ONCE, NetworkLoss
from epochal.probes.learning_coefficient.restriction import block_names, restriction
from epochal.probes.learning_coefficient.sampling import acceptance_of, excess_of, sample
from epochal.probes.learning_coefficient.settings import Settings
from epochal.samplers.kept import Observe

Array = NDArray[np.float64]


class SamplingOptions(TypedDict, total=False):
    """As in :func:`epochal.llc`."""

    chains: int
    draws: int
    burn_in: int | None
    thinning: int
    n_beta: float | None
    gamma: float | None
    step_size: float | None
    batch_size: int | None
    sampler: str
    shared_batches: bool
    overdispersed: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Influences:
    """``values [N, M]`` with ``standard_errors``, of the examples ``of`` and ``on``.

    ``estimate`` is the learning coefficient of the same chains: where it is not equilibrated, neither is
    this.
    """

    values: Float[Array, "N M"]
    standard_errors: Float[Array, "N M"]
    of: Sequence[int]
    on: Sequence[int]
    estimate: Estimate

    @property
    def equilibrated(self) -> bool:
        return self.estimate.equilibrated


@dataclass(frozen=True, kw_only=True)
class Susceptibilities:
    """``values [B, N]`` of blocks and examples with ``standard_errors``; ``estimates`` of each block, of all
    parameters the last."""

    values: Float[Array, "B N"]
    standard_errors: Float[Array, "B N"]
    blocks: Sequence[str]
    examples: Sequence[int]
    estimates: Sequence[Estimate]

    @property
    def equilibrated(self) -> bool:
        return all(each.equilibrated for each in self.estimates)


def influences(
    model: Any,
    loss: Any,
    data: Any,
    *,
    of: Sequence[int] | None = None,
    on: Sequence[int] | None = None,
    correlation: bool = True,
    restrict: Sequence[str] = (),
    **options: Unpack[SamplingOptions],
) -> Influences:
    """The Bayesian influence function: correlations (or covariances) of the losses of single examples over
    draws around the module's parameters.

    ``of`` and ``on`` are numbers of examples, all by default. More weight on example i by ``d`` changes
    ``E[l_j]`` by ``- d n_beta / n Cov(l_i, l_j)`` where the loss is the mean over n examples: examples with
    a positive correlation help each other. The other arguments are those of :func:`epochal.llc`.

    Raises:
        UserError: what is wrong with an argument; or every chain diverged.

    Source: Kreer et al. 2025, "Bayesian influence functions for Hessian-free data attribution".
    """
    potential, bound = problem(model, loss, data)
    return influences_at(
        potential, bound.layout, bound.flat, Settings(**options), of=of, on=on, correlation=correlation,
        restrict=restrict,
    )  # fmt: skip


def influences_at(
    loss: NetworkLoss,
    layout: Layout,
    flat: Float[Tensor, " P"],
    settings: Settings,
    *,
    of: Sequence[int] | None = None,
    on: Sequence[int] | None = None,
    correlation: bool = True,
    restrict: Sequence[str] = (),
    progress: Progress = silent,
) -> Influences:
    """As :func:`influences`, of a loss at flat parameters."""
    first, second = (examples_of(loss, given) for given in (of, on))
    both = list(dict.fromkeys([*first, *second]))
    mask = restriction(layout, restrict, flat)
    seen, found = _observed(loss, flat, settings, both, mask, progress)
    a, b = (seen[..., [1 + both.index(number) for number in some]] for some in (first, second))
    values, errors = covariances(a, b, normalised=correlation)
    return Influences(values=values, standard_errors=errors, of=first, on=second, estimate=found)


def susceptibilities(
    model: Any,
    loss: Any,
    data: Any,
    *,
    blocks: Sequence[str] = ("each",),
    examples: Sequence[int] | None = None,
    **options: Unpack[SamplingOptions],
) -> Susceptibilities:
    """How the loss that a block can lose responds to more weight on an example.

    ``E[phi L] - E[phi l_i] - E[phi] (E_full L - E_full l_i)`` with ``phi = L - L(w*)``: E over draws in which
    the block alone moves, E_full over draws of all parameters, L the loss on all data, l_i of example i.
    ``blocks`` are parameters or modules, "each" stands for every module with parameters of its own.
    Step size and gamma of the full posterior hold for every block. Other arguments as in
    :func:`epochal.llc`.

    Raises:
        UserError: what is wrong with an argument; or every chain diverged.

    Source: Baker, Wang et al. 2025, "Structural inference: susceptibilities", appendix C.4.
    """
    potential, bound = problem(model, loss, data)
    return susceptibilities_at(
        potential, bound.layout, bound.flat, Settings(**options), blocks=blocks, examples=examples
    )


def susceptibilities_at(
    loss: NetworkLoss,
    layout: Layout,
    flat: Float[Tensor, " P"],
    settings: Settings,
    *,
    blocks: Sequence[str] = ("each",),
    examples: Sequence[int] | None = None,
    progress: Progress = silent,
) -> Susceptibilities:
    """As :func:`susceptibilities`, of a loss at flat parameters."""
    chosen = examples_of(loss, examples)
    names = block_names(layout, blocks)
    masks = [restriction(layout, [name], flat) for name in names]
    step_size, gamma = steps_of(loss, flat, settings.checked(loss.size))
    settings = replace(settings, step_size=step_size, gamma=gamma)

    def part(number: int) -> Progress:
        return lambda done, of: progress(number * of + done, (1 + len(masks)) * of)

    full, of_full = _observed(loss, flat, settings, chosen, None, part(0))
    values, errors, estimates = [], [], []
    for number, mask in enumerate(masks, 1):
        seen, found = _observed(loss, flat, settings, chosen, mask, part(number))
        value, error = responses(
            seen[..., 0], seen[..., 1:], full[..., 0], full[..., 1:], found.baseline
        )  # fmt: skip
        values.append(value)
        errors.append(error)
        estimates.append(found)
    return Susceptibilities(
        values=np.stack(values), standard_errors=np.stack(errors), blocks=names, examples=chosen,
        estimates=[*estimates, of_full],
    )  # fmt: skip


def examples_of(loss: NetworkLoss, given: Sequence[int] | None) -> list[int]:
    """Numbers of examples, all by default.

    Raises:
        UserError: one is out of its range, or there are none.
    """
    chosen = list(range(loss.size)) if given is None else [int(number) for number in given]
    outside = [number for number in chosen if not 0 <= number < loss.size]
    if outside or not chosen:
        what = f"example {outside[0]} is" if outside else "no examples are"
        raise UserError(f"{what} given; the data has examples 0 .. {loss.size - 1}")
    return chosen


def losses_of(loss: NetworkLoss, examples: Sequence[int]) -> Observe:
    """Of positions ``[K, P]``: L on all data, then the loss of each example alone, ``[K, 1 + N]``."""
    numbers = torch.tensor(list(examples), dtype=torch.int64)
    of_examples = torch.vmap(torch.vmap(loss.row, in_dims=(None, 0)), in_dims=(0, None))

    def observe(w: Tensor) -> Tensor:
        at_once = max(1, EXAMPLES_AT_ONCE // len(w))
        with torch.no_grad():
            parts = [of_examples(w, part[:, None].to(w.device)) for part in numbers.split(at_once)]
            return torch.cat([loss.full(w).to(w)[:, None], *parts], dim=-1).double()

    return observe


def _observed(
    loss: NetworkLoss,
    flat: Tensor,
    settings: Settings,
    examples: Sequence[int],
    mask: Tensor | None,
    progress: Progress,
) -> tuple[Float[Array, "K S O"], Estimate]:
    """Losses at the draws of chains that did not diverge, and the estimate of all chains."""
    settings = settings.checked(loss.size)
    assert settings.burn_in is not None and settings.n_beta is not None
    step_size, gamma = steps_of(loss, flat, settings, mask=mask)
    baseline = float(loss.full(flat[None])[0])
    look, seen_draws = losses_of(loss, examples), itertools.count(1)

    def observe(w: Tensor) -> Tensor:
        progress(next(seen_draws), settings.draws)
        return look(w)

    found = sample(loss, flat, settings, step_size=step_size, gamma=gamma, mask=mask, observe=observe)
    losses = found.losses.double().cpu().numpy()
    kept = [*range(settings.burn_in), *range(settings.burn_in, losses.shape[-1], settings.thinning)]
    says = estimate(
        losses[:, kept], baseline=baseline, n_beta=settings.n_beta, gamma=gamma, step_size=step_size,
        burn_in=settings.burn_in, sampler=settings.sampler, excess=excess_of(found),
        acceptance=acceptance_of(found),
    )  # fmt: skip
    assert found.observed is not None
    seen = found.observed.double().cpu().numpy()
    seen = seen[np.isfinite(seen).all(axis=(1, 2))]
    if not len(seen):
        raise UserError(f"every chain diverged ({says.reasons[0]}): take a smaller step_size")
    return seen, says
