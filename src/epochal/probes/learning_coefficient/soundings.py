"""What a calibration is chosen from: curvature, the acceptance of MALA, and the epsilon-beta map."""

import math
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.analysis.chains.learning_coefficient import Estimate, estimate
from epochal.core.tensors import random
from epochal.probes.learning_coefficient.curvature import hutchinson
from epochal.probes.learning_coefficient.loss_curvature import largest_curvatures, product_at
from epochal.probes.learning_coefficient.potential import NetworkLoss
from epochal.probes.learning_coefficient.sampling import acceptance_of, excess_of, sample
from epochal.probes.learning_coefficient.settings import Settings

BETAS = (0.1, 1 / 3, 1.0, 3.0, 10.0)
"""Inverse temperatures of the map, in units of the chosen one."""

MALA_STEPS = 40
TRACE_DRAWS = 8
MAP_CHAINS = 2
MAP_NUMBERS = 2**26
"""Parameters of all chains of one part of the map together: bounds its memory."""


def curvature_of(loss: NetworkLoss, flat: Float[Tensor, " P"], seed: int) -> dict[str, Any]:
    """The largest eigenvalues (Ritz values) and the trace of the Hessian, on up to 4,096 examples."""
    product, count = product_at(loss, flat)
    key = random.fold(random.key(seed, "curvature"), "trace")
    trace = hutchinson(product, flat.shape[-1], draws=TRACE_DRAWS, key=key, like=flat)
    return {"top": largest_curvatures(loss, flat, seed)[:3], "trace": trace, "examples": count}


def prior_curvature(loss: NetworkLoss, flat: Float[Tensor, " P"], settings: Settings) -> float:
    """The largest eigenvalue at two draws of the localisation: where w* has none, chains meet this one."""
    assert settings.gamma
    key, size = random.key(settings.seed, "curvature"), flat.shape[-1]
    tops = []
    for draw in range(2):
        moved = random.normal(random.fold(random.fold(key, "prior"), draw), (size,), torch.float64).to(flat)
        tops.append(largest_curvatures(loss, flat + moved / settings.gamma**0.5, settings.seed)[0])
    return max(tops)


def mala_acceptances(
    loss: NetworkLoss, flat: Float[Tensor, " P"], settings: Settings, steps: list[float]
) -> list[dict[str, float]]:
    """Mean acceptance of full-batch MALA by step size, over its second half; all steps side by side."""
    assert settings.gamma is not None
    short = replace(
        settings, sampler="mala", batch_size=loss.size, chains=2, burn_in=MALA_STEPS // 2,
        draws=MALA_STEPS // 2, thinning=1, overdispersed=0.0,
    )  # fmt: skip
    eps = torch.tensor(steps, dtype=torch.float64)
    found = sample(
        loss, flat.expand(len(steps), -1), short, step_size=eps, gamma=settings.gamma, common_noise=True
    )
    accepted = acceptance_of(found)
    assert accepted is not None
    means = accepted.mean(-1).tolist()
    return [{"step_size": step, "acceptance": mean} for step, mean in zip(steps, means, strict=True)]


def map_of(
    loss: NetworkLoss,
    flat: Float[Tensor, " P"],
    settings: Settings,
    gamma: float,
    steps: list[float],
    baseline: float,
) -> list[dict[str, Any]]:
    """The estimate over step sizes and inverse temperatures, under common random numbers."""
    assert settings.n_beta is not None and settings.burn_in is not None
    cells = [(step, settings.n_beta * beta) for beta in BETAS for step in steps]
    at_once = max(1, MAP_NUMBERS // (settings.chains * flat.shape[-1]))
    rows: list[dict[str, Any]] = []
    for start in range(0, len(cells), at_once):
        part = cells[start : start + at_once]
        eps, betas = (torch.tensor(column, dtype=torch.float64) for column in zip(*part, strict=True))
        found = sample(
            loss,
            flat.expand(len(part), -1),
            settings,
            step_size=eps,
            gamma=gamma,
            n_beta=betas,
            common_noise=True,
        )
        added = excess_of(found)
        excesses = [None] * len(part) if added is None else list(added)
        traces = found.losses.double().cpu().numpy()
        for (step, n_beta), losses, excess in zip(part, traces, excesses, strict=True):
            cell = estimate(
                losses,
                baseline=baseline,
                n_beta=n_beta,
                gamma=gamma,
                step_size=step,
                burn_in=settings.burn_in,
                excess=excess,
            )
            bias = cell.step_bias
            rows.append(
                {
                    "step_size": step,
                    "n_beta": n_beta,
                    "llc": cell.value if math.isfinite(cell.value) else None,
                    "standard_error": cell.standard_error if math.isfinite(cell.standard_error) else None,
                    "step_bias": None if bias is None or not math.isfinite(bias) else bias,
                    "equilibrated": cell.equilibrated,
                    "diverged": len(cell.diverged),
                    "ran_away": ran_away(cell, flat.shape[-1]),
                }
            )
    return rows


def ran_away(found: Estimate, size: int) -> bool:
    """Whether chains around ``size`` parameters say nothing of w* because a step threw them off.

    All diverged; or the value is above ``size``, which exact draws cannot pass where L is convex (it is at
    most ``E[n_beta g . (w - w*)] <= size``); or its steps add all of it.
    """
    if not math.isfinite(found.value) or found.value > size:
        return True
    is_all_of_it = found.step_bias is not None and not math.isfinite(found.step_bias)
    return is_all_of_it and found.value > 2 * found.standard_error
