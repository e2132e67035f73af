"""Samples a network's loss around its parameters and says what the coefficient is."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from epochal.analysis.chains.learning_coefficient import Estimate, estimate
from epochal.core.tensors import random
from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean
from epochal.probes.learning_coefficient.curvature import hessian_product, lanczos
from epochal.probes.learning_coefficient.potential import NetworkLoss, OnAll, OnBatches
from epochal.samplers.batches import BatchOrder
from epochal.samplers.chains import Samples
from epochal.samplers.hastings import mala
from epochal.samplers.kept import Observe
from epochal.samplers.langevin import sgld
from epochal.samplers.preconditioned import rmsprop_sgld
from epochal.samplers.thermostat import sgnht

Sampler = Literal["sgld", "rmsprop_sgld", "sgnht", "mala"]
SAMPLERS: dict[str, Callable[..., Samples]] = {
    "sgld": sgld, "rmsprop_sgld": rmsprop_sgld, "sgnht": sgnht, "mala": mala,
}  # fmt: skip

STEP_OF_STIFFEST = 0.1
"""``eps (n_beta h + gamma)`` in the direction of largest curvature h: there, unadjusted steps overrate the
energy by 1 / (1 - 0.1 / 4), 2.6%, and less in every other."""

SETTLING = 4.0
"""``eps gamma burn_in``: the energy of directions without curvature of their own has reached 1 - exp(-4)."""

LANCZOS_STEPS = 12
CURVATURE_EXAMPLES = 4096


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to sample; None is chosen from the data's size and the loss's curvature."""

    chains: int = 4
    draws: int = 1000
    burn_in: int | None = None
    thinning: int = 1
    n_beta: float | None = None
    gamma: float | None = None
    step_size: float | None = None
    batch_size: int | None = None
    sampler: str = "sgld"
    shared_batches: bool = False
    overdispersed: float = 0.0
    seed: int = 0

    def checked(self, size: int) -> "Settings":
        """With what follows from ``size`` examples alone.

        Raises:
            UserError: one is out of its range.
        """
        if self.sampler not in get_args(Sampler):
            near = did_you_mean(self.sampler, get_args(Sampler))
            raise UserError(
                f"sampler={self.sampler} is unknown{near}; there are {', '.join(get_args(Sampler))}"
            )
        for name, least in (("chains", 1), ("draws", 1), ("thinning", 1), ("burn_in", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"{name}={value} is too few: at least {least}")
        for name in ("n_beta", "step_size"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"{name}={value} is not positive and finite")
        for name in ("gamma", "overdispersed"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise UserError(f"{name}={value} is not 0 or more and finite")
        if size < 3 and self.n_beta is None:
            raise UserError(f"n log n needs more than {size} examples: give n_beta")
        if self.batch_size is not None and not 1 <= self.batch_size <= size:
            raise UserError(f"batch_size={self.batch_size} is outside 1 .. {size}, the number of examples")
        return replace(
            self,
            burn_in=self.draws * self.thinning if self.burn_in is None else self.burn_in,
            n_beta=size / math.log(size) if self.n_beta is None else self.n_beta,
            batch_size=(size if self.sampler == "mala" else min(256, size))
            if self.batch_size is None
            else self.batch_size,
        )


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
    assert settings.burn_in is not None and settings.n_beta is not None and settings.batch_size is not None
    baseline = float(loss.full(flat[None])[0])
    if not math.isfinite(baseline):
        raise UserError(f"the loss at these parameters is {baseline}: there is nothing to sample around")
    step_size, gamma = steps_of(loss, flat, settings, mask=mask)
    found = sample(loss, flat, settings, step_size=step_size, gamma=gamma, mask=mask)
    losses = found.losses.double().cpu().numpy()
    kept = [*range(settings.burn_in), *range(settings.burn_in, losses.shape[-1], settings.thinning)]
    return estimate(
        losses[:, kept], baseline=baseline, n_beta=settings.n_beta, gamma=gamma, step_size=step_size,
        burn_in=settings.burn_in, sampler=settings.sampler, excess=excess_of(found),
        acceptance=acceptance_of(found),
    )  # fmt: skip


def excess_of(found: Samples) -> NDArray[np.float64] | None:
    """What long steps added to ``n_beta E[L]``, ``[..., chains]``; None of samplers that do not say."""
    excess = found.statistics.get("excess")
    return None if excess is None else excess.double().cpu().numpy()


def acceptance_of(found: Samples) -> NDArray[np.float64] | None:
    """Mean probability of each chain, ``[..., chains]``; None of samplers that accept every step."""
    return None if found.acceptance is None else found.acceptance.double().cpu().numpy()


def sample(
    loss: NetworkLoss,
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


def steps_of(
    loss: NetworkLoss, flat: Float[Tensor, " P"], settings: Settings, *, mask: Tensor | None = None
) -> tuple[float, float]:
    """Step size and gamma as given, or from the largest curvature and the length of burn-in.

    The step is :data:`STEP_OF_STIFFEST` of the stiffest direction's scale; gamma is as strong as directions
    without curvature need to settle within burn-in, ``4 / (eps burn_in)``.
    """
    assert settings.burn_in is not None and settings.n_beta is not None
    gamma, step_size = settings.gamma, settings.step_size
    if step_size is None:
        top = largest_curvature(loss, flat, settings.seed, mask=mask)
        steps = max(settings.burn_in, 1)
        if gamma is None:  # eps (n_beta h + 4 / (eps steps)) = STEP_OF_STIFFEST
            gained = max(STEP_OF_STIFFEST - SETTLING / steps, STEP_OF_STIFFEST / 2)
            step_size = gained / max(settings.n_beta * top, 1e-12)
        else:
            step_size = STEP_OF_STIFFEST / max(settings.n_beta * top + gamma, 1e-12)
    if gamma is None:
        gamma = settling(step_size, settings)
    return step_size, gamma


def settling(step_size: float, settings: Settings) -> float:
    """The gamma at which a direction without curvature settles within burn-in."""
    assert settings.burn_in is not None
    return SETTLING / (step_size * max(settings.burn_in, 1))


def largest_curvature(
    loss: NetworkLoss, flat: Float[Tensor, " P"], seed: int, *, mask: Tensor | None = None
) -> float:
    """Of the loss on up to 4,096 examples, by Lanczos; 0 where the loss curves down everywhere."""
    some = torch.arange(min(loss.size, CURVATURE_EXAMPLES), device=flat.device)[None]

    def gradient(place: Tensor) -> Tensor:
        slope = loss.slope(place, some)[1]
        return slope if mask is None else slope * mask

    product = hessian_product(gradient, flat)
    key = random.key(seed, "curvature")
    values = lanczos(product, flat.shape[-1], steps=LANCZOS_STEPS, key=key, like=flat)
    return max(float(values[0]), 0.0)
