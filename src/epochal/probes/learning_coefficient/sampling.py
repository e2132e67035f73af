"""Samples a network's loss around its parameters and says what the coefficient is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from epochal.analysis.chains.learning_coefficient import Estimate, estimate
from epochal.core.tensors import random
from epochal.core.values.errors import UserError
from epochal.probes.learning_coefficient.first_steps import steps_of
from epochal.probes.learning_coefficient.potential import (
    LossesAlong,
    NetworkLoss,
    OnAll,
    OnBatches,
)
from epochal.probes.learning_coefficient.settings import Settings
from epochal.samplers.batches import BatchOrder
from epochal.samplers.chains import Samples
from epochal.samplers.hastings import mala
from epochal.samplers.kept import Observe
from epochal.samplers.langevin import sgld
from epochal.samplers.preconditioned import rmsprop_sgld
from epochal.samplers.thermostat import sgnht

SAMPLERS: dict[str, Callable[..., Samples]] = {
    "sgld": sgld, "rmsprop_sgld": rmsprop_sgld, "sgnht": sgnht, "mala": mala,
}  # fmt: skip


def coefficient(
    loss: NetworkLoss,
    flat: Float[Tensor, " P"],
    settings: Settings,
    *,
    mask: Bool[Tensor, " P"] | None = None,
) -> Estimate:
    """The local learning coefficient at ``flat``, its baseline L(w*) on all data.

    Raises:
        UserError: a setting out of its range, or a loss that is not finite at ``flat``.
    """
    settings = settings.checked(loss.size)
    start = start_of(loss, flat, settings, mask=mask)
    if not start.is_finite:
        raise UserError(
            f"the loss at these parameters is {start.baseline}: there is nothing to sample around"
        )
    return coefficients(loss, flat[None], settings, [start], mask=mask)[0]


@dataclass(frozen=True, kw_only=True)
class Start:
    """L(w*) of a network, and with which steps and gamma it is sampled; NaN where L is not finite."""

    baseline: float
    step_size: float = math.nan
    gamma: float = math.nan

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.baseline)


def start_of(
    loss: NetworkLoss, flat: Float[Tensor, " P"], settings: Settings, *, mask: Tensor | None = None
) -> Start:
    """Of checked settings."""
    start = Start(baseline=float(loss.full(flat[None])[0]))
    if not start.is_finite:
        return start
    step_size, gamma = steps_of(loss, flat, settings, mask=mask)
    return replace(start, step_size=step_size, gamma=gamma)


def coefficients(
    loss: NetworkLoss | LossesAlong,
    flat: Float[Tensor, "S P"],
    settings: Settings,
    starts: Sequence[Start],
    *,
    mask: Bool[Tensor, " P"] | None = None,
) -> list[Estimate]:
    """At each of several networks, chains of checked settings around all of them sampled together, the same
    chain of each with the same noise and minibatches: what is found at one does not depend on the others."""
    assert settings.burn_in is not None and settings.n_beta is not None
    found = sample(
        loss, flat, settings, step_size=shared([start.step_size for start in starts]),
        gamma=shared([start.gamma for start in starts]), mask=mask, common_noise=True,
    )  # fmt: skip
    losses = found.losses.double().cpu().numpy()
    kept = [*range(settings.burn_in), *range(settings.burn_in, losses.shape[-1], settings.thinning)]
    excess, acceptance = excess_of(found), acceptance_of(found)
    return [
        estimate(
            losses[place][:, kept], baseline=start.baseline, n_beta=settings.n_beta, gamma=start.gamma,
            step_size=start.step_size, burn_in=settings.burn_in, sampler=settings.sampler,
            excess=None if excess is None else excess[place],
            acceptance=None if acceptance is None else acceptance[place],
        )
        for place, start in enumerate(starts)
    ]  # fmt: skip


def shared(values: Sequence[float]) -> float | Tensor:
    """One number where all are the same: samplers take it faster than one per row."""
    return values[0] if len(set(values)) == 1 else torch.tensor(values, dtype=torch.float64)


def excess_of(found: Samples) -> NDArray[np.float64] | None:
    """What long steps added to ``n_beta E[L]``, ``[..., chains]``; None of samplers that do not say."""
    excess = found.statistics.get("excess")
    return None if excess is None else excess.double().cpu().numpy()


def acceptance_of(found: Samples) -> NDArray[np.float64] | None:
    """Mean probability of each chain, ``[..., chains]``; None of samplers that accept every step."""
    return None if found.acceptance is None else found.acceptance.double().cpu().numpy()


def sample(
    loss: NetworkLoss | LossesAlong,
    flat: Float[Tensor, "*S P"],
    settings: Settings,
    *,
    step_size: float | Tensor,
    gamma: float | Tensor,
    n_beta: float | Tensor | None = None,
    mask: Tensor | None = None,
    common_noise: bool = False,
    observe: Observe | None = None,
) -> Samples:
    """Chains of checked settings around ``flat``; with leading axes, chains around each."""
    assert settings.burn_in is not None and settings.n_beta is not None and settings.batch_size is not None
    key = random.key(settings.seed, "llc")
    places = math.prod(flat.shape[:-1])
    names = list(range(settings.chains)) * places if common_noise else list(range(settings.chains * places))
    is_full = settings.batch_size == loss.size
    if settings.sampler == "mala" and not is_full:
        raise UserError("sampler=mala accepts or rejects on the full data: leave batch_size out")
    order = BatchOrder(
        key, [0] * len(names) if settings.shared_batches else names, size=loss.size,
        batch_size=settings.batch_size,
    )  # fmt: skip
    options: dict[str, Any] = {}
    if settings.overdispersed:
        width = settings.overdispersed / torch.as_tensor(gamma, dtype=torch.float64).clamp(min=1e-12) ** 0.5
        drawn = random.normal(random.fold(key, "start"), (settings.chains, flat.shape[-1]), torch.float64)
        moved = drawn.to(flat) * (width.to(flat)[..., None, None] if width.ndim else float(width))
        options["start"] = flat[..., None, :] + (moved if mask is None else moved * mask)
    return SAMPLERS[settings.sampler](
        OnAll(loss) if is_full else OnBatches(loss, order),
        flat,
        step_size=step_size,
        num_steps=settings.burn_in + settings.draws * settings.thinning,
        chains=settings.chains,
        seed=settings.seed,
        gamma=gamma,
        n_beta=settings.n_beta if n_beta is None else n_beta,
        burn_in=settings.burn_in,
        keep_positions=False,
        mask=mask,
        common_noise=common_noise,
        thinning=settings.thinning,
        observe=observe,
        **options,
    )
