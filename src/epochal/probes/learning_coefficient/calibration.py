"""Step size, localisation and temperature from curvature, acceptance and where the estimate is flat."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.analysis.chains.learning_coefficient import LARGEST_CHANGE, Estimate, estimate
from epochal.core.tensors import random
from epochal.core.values.errors import UserError
from epochal.probes.learning_coefficient.curvature import hessian_product, hutchinson, lanczos
from epochal.probes.learning_coefficient.potential import NetworkLoss
from epochal.probes.learning_coefficient.sampling import (
    CURVATURE_EXAMPLES,
    LANCZOS_STEPS,
    SETTLING,
    Settings,
    coefficient,
    sample,
)

STEPS = (0.4, 0.2, 0.1, 0.05, 0.025)
"""Step sizes tried, in units of ``1 / (n_beta h)``, h the largest curvature."""

BETAS = (0.1, 1 / 3, 1.0, 3.0, 10.0)
"""Inverse temperatures of the map, in units of the chosen one."""

ACCEPTANCE = 0.9
MALA_STEPS = 40
DOUBLINGS = 3
TRACE_DRAWS = 8
MAP_CHAINS = 2
MAP_NUMBERS = 2**26
"""Parameters of all chains of one part of the map together: bounds its memory."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Chosen settings, what they were chosen from, and why."""

    settings: Settings
    estimate: Estimate
    curvature: dict[str, Any]
    acceptance: list[dict[str, float]]
    map: list[dict[str, Any]]
    reasons: list[str]


def calibrate(loss: NetworkLoss, flat: Float[Tensor, " P"], asked: Settings) -> Calibration:
    """Of the settings asked for, what is None is chosen.

    The step is the longest that full-batch MALA accepts with probability .9 (the energy of unadjusted steps
    is then nearly right) and whose estimate agrees with that of the next shorter one. gamma is what settles
    directions without curvature within burn-in, ``4 / (eps burn_in)``. Draws and burn-in double until the
    chains are equilibrated, three times at most.

    Raises:
        UserError: a setting out of its range, or a loss that is not finite or does not curve up here.
    """
    settings, reasons = asked.checked(loss.size), []
    n_beta, burn_in = settings.n_beta, settings.burn_in
    assert n_beta is not None and burn_in is not None
    baseline = float(loss.full(flat[None])[0])
    if not math.isfinite(baseline):
        raise UserError(f"the loss at these parameters is {baseline}: there is nothing to calibrate")
    if asked.n_beta is None:
        reasons.append(f"n_beta = n / log n of {loss.size} examples = {n_beta:.5g}")
    curvature = curvature_of(loss, flat, settings.seed)
    top = curvature["top"][0]
    if top <= 0:
        raise UserError("the loss curves up in no direction here: no step size follows; give step_size=")
    reasons.append(f"largest curvature {top:.4g} by Lanczos: steps are tried at {STEPS} / (n_beta {top:.4g})")
    steps = [share / (n_beta * top) for share in STEPS]
    middle = asked.step_size or steps[2]
    gamma = SETTLING / (middle * max(burn_in, 1)) if asked.gamma is None else asked.gamma
    accepted = acceptance_of(loss, flat, replace(settings, gamma=gamma), steps)
    table = map_of(loss, flat, replace(settings, chains=MAP_CHAINS), gamma, steps, baseline)
    step_size = asked.step_size
    if step_size is None:
        step_size, why = chosen_step(accepted, [row for row in table if row["n_beta"] == n_beta])
        reasons += why
    if asked.gamma is None:
        gamma = SETTLING / (step_size * max(burn_in, 1))
        reasons.append(
            f"gamma = {SETTLING:g} / (step_size x {burn_in} steps of burn-in) = {gamma:.4g}: what has no "
            f"curvature settles in burn-in; below gamma / n_beta = {gamma / n_beta:.2g} it counts partly"
        )
    final = replace(settings, step_size=step_size, gamma=gamma)
    found = coefficient(loss, flat, final)
    for _ in range(DOUBLINGS):
        if found.equilibrated or found.diverged:
            break
        draws, longer = 2 * final.draws, 2 * (final.burn_in or 0)
        reasons.append(f"{final.draws} draws: {'; '.join(found.reasons)}: doubled, gamma kept")
        final = replace(final, draws=draws, burn_in=longer)
        found = coefficient(loss, flat, final)
    reasons.append(f"{final.draws} draws after {final.burn_in}: {found.verdict}")
    return Calibration(
        settings=final, estimate=found, curvature=curvature, acceptance=accepted, map=table, reasons=reasons
    )


def curvature_of(loss: NetworkLoss, flat: Float[Tensor, " P"], seed: int) -> dict[str, Any]:
    """The largest eigenvalues (Ritz values) and the trace of the Hessian, on up to 4,096 examples."""
    some = torch.arange(min(loss.size, CURVATURE_EXAMPLES), device=flat.device)[None]
    product = hessian_product(lambda place: loss.slope(place, some)[1], flat)
    key, size = random.key(seed, "curvature"), flat.shape[-1]
    top = lanczos(product, size, steps=LANCZOS_STEPS, key=key, like=flat)[:3].tolist()
    trace = hutchinson(product, size, draws=TRACE_DRAWS, key=random.fold(key, "trace"), like=flat)
    return {"top": top, "trace": trace, "examples": some.shape[-1]}


def acceptance_of(
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
    assert found.acceptance is not None
    means = found.acceptance.mean(-1).tolist()
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
        for (step, n_beta), losses in zip(part, found.losses.double().cpu().numpy(), strict=True):
            cell = estimate(
                losses,
                baseline=baseline,
                n_beta=n_beta,
                gamma=gamma,
                step_size=step,
                burn_in=settings.burn_in,
            )
            rows.append(
                {
                    "step_size": step,
                    "n_beta": n_beta,
                    "llc": cell.value if math.isfinite(cell.value) else None,
                    "standard_error": cell.standard_error if math.isfinite(cell.standard_error) else None,
                    "equilibrated": cell.equilibrated,
                    "diverged": len(cell.diverged),
                }
            )
    return rows


def chosen_step(accepted: list[dict[str, float]], column: list[dict[str, Any]]) -> tuple[float, list[str]]:
    """The longest step of those from long to short that is accepted and on the plateau; and why."""
    why = []
    for place, (row, cell) in enumerate(zip(accepted, column, strict=True)):
        step, rate = row["step_size"], row["acceptance"]
        if rate < ACCEPTANCE:
            why.append(f"step_size {step:.3g}: MALA accepts {rate:.2f}, below {ACCEPTANCE}")
            continue
        shorter = column[place + 1] if place + 1 < len(column) else None
        if shorter is None or cell["llc"] is None or shorter["llc"] is None:
            why.append(f"step_size {step:.3g}: MALA accepts {rate:.2f}; the shortest that was tried")
            return step, why
        change = abs(cell["llc"] - shorter["llc"])
        error = 2 * math.hypot(cell["standard_error"], shorter["standard_error"])
        says = f"{cell['llc']:.4g}, and {shorter['llc']:.4g} with half of it"
        if change <= max(LARGEST_CHANGE * abs(cell["llc"]), error):
            why.append(f"step_size {step:.3g}: MALA accepts {rate:.2f}; the estimate is {says}: a plateau")
            return step, why
        why.append(f"step_size {step:.3g}: MALA accepts {rate:.2f}, but the estimate is {says}: no plateau")
    why.append("no step was accepted often enough: the shortest one is taken")
    return accepted[-1]["step_size"], why
