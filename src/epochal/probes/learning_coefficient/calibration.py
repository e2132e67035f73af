"""Step size, localisation and temperature from curvature, acceptance, and what steps add to the estimate."""

import math
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from epochal.analysis.chains.learning_coefficient import HIGHEST_STEP_BIAS, Estimate
from epochal.core.values.errors import UserError
from epochal.probes.learning_coefficient.effort import Effort, Progress, silent
from epochal.probes.learning_coefficient.final_chains import (
    RETREAT,
    is_biased,
    is_lost,
    localised,
    said_of,
    settled,
)
from epochal.probes.learning_coefficient.first_steps import settling
from epochal.probes.learning_coefficient.potential import NetworkLoss
from epochal.probes.learning_coefficient.settings import Settings
from epochal.probes.learning_coefficient.soundings import (
    BETAS,
    MAP_CHAINS,
    curvature_of,
    mala_acceptances,
    map_of,
    prior_curvature,
)
from epochal.probes.learning_coefficient.step_choice import (
    ACCEPTANCE,
    chosen_step,
)

STEPS = (0.4, 0.2, 0.1, 0.05, 0.025)
"""Step sizes tried, in units of ``1 / (n_beta h)``, h the largest curvature."""

REACH = 1e-6
"""Of the steps that follow from curvature: shorter ones are not tried."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Chosen settings, what they were chosen from, and why."""

    settings: Settings
    estimate: Estimate
    curvature: dict[str, Any]
    acceptance: list[dict[str, float]]
    map: list[dict[str, Any]]
    reasons: list[str]
    tolerance: float
    failure: str = ""
    """Why these settings are not to be used, with the remedy; empty where they are."""


def calibrate(
    loss: NetworkLoss,
    flat: Float[Tensor, " P"],
    asked: Settings,
    *,
    tolerance: float = HIGHEST_STEP_BIAS,
    progress: Progress = silent,
) -> Calibration:
    """Of the settings asked for, what is None is chosen.

    The step is the longest that full-batch MALA accepts with probability .9, whose own bias is at most
    ``tolerance`` of the estimate, and whose estimate agrees with that of half of it. The bias is measured
    along the chains (:func:`~epochal.samplers.langevin.sgld`), not derived from the curvature at w*, which is
    small where minima are singular or the loss is nearly 0: steps from it are shortened until MALA accepts.
    Of the other samplers that are not corrected the bias is twice the change from half of the step. gamma is
    what settles directions without curvature within burn-in, ``4 / (eps burn_in)``. Chains that run away, or
    that show a larger bias in the end, get shorter steps; draws and burn-in double until they are
    equilibrated, three times at most, and not where only a step that was given is at fault. What then still
    fails either is marked as not equilibrated; where chains still run away, ``failure`` says so. A negative
    estimate stays as it is.

    Raises:
        UserError: a setting out of its range, or a loss that is not finite or does not curve up here.
    """
    if not 0 < tolerance < 1:
        raise UserError(f"tolerance={tolerance:g} is outside (0, 1): a share of the estimate, such as 0.03")
    settings, reasons = asked.checked(loss.size), []
    short = replace(settings, chains=MAP_CHAINS)
    effort = Effort(progress)
    effort.expect(short, len(STEPS) * len(BETAS))
    effort.expect(settings)
    loss = effort.counted(loss)
    n_beta = settings.n_beta
    assert n_beta is not None
    baseline = float(loss.full(flat[None])[0])
    if not math.isfinite(baseline):
        raise UserError(f"the loss at these parameters is {baseline}: there is nothing to calibrate")
    if asked.n_beta is None:
        reasons.append(f"n_beta = n / log n of {loss.size} examples = {n_beta:.5g}")
    curvature = curvature_of(loss, flat, settings.seed)
    top, where = curvature["top"][0], ""
    if asked.gamma and n_beta * top <= asked.gamma:
        top, where = prior_curvature(loss, flat, settings), f" at draws of N(w*, 1 / {asked.gamma:g})"
    if top <= 0 and asked.step_size:
        top, where = STEPS[len(STEPS) // 2] / (n_beta * asked.step_size), ", or rather about the step given"
    if top <= 0:
        raise UserError(
            "the loss curves up in no direction here: no step size follows; give gamma=100 or step_size="
        )
    reasons.append(
        f"largest curvature {top:.4g} by Lanczos{where}: steps are tried at {STEPS} / (n_beta {top:.4g})"
    )
    steps = [share / (n_beta * top) for share in STEPS]
    steps, gamma, accepted, why = accepted_steps(loss, flat, settings, asked, steps)
    reasons += why
    table = map_of(loss, flat, short, gamma, steps, baseline)
    step_size = asked.step_size
    if step_size is None:
        column = [row for row in table if row["n_beta"] == n_beta]
        step_size, why = chosen_step(accepted, column, tolerance=tolerance, is_exact=asked.sampler == "mala")
        reasons += why
    final, why = localised(replace(settings, step_size=step_size, gamma=gamma), asked)
    final, found, told = settled(loss, flat, final, asked, tolerance, effort)
    reasons += why + told
    found = fit(found, tolerance)
    reasons.append(
        f"{final.draws} draws after {final.burn_in}: {found.verdict}; bias of its steps: {bias_of(found)}"
    )
    failure = failure_of(found, asked, flat.shape[-1])
    return Calibration(
        settings=final, estimate=found, curvature=curvature, acceptance=accepted, map=table,
        reasons=[*reasons, failure] if failure else reasons, tolerance=tolerance, failure=failure,
    )  # fmt: skip


def accepted_steps(
    loss: NetworkLoss, flat: Float[Tensor, " P"], settings: Settings, asked: Settings, steps: list[float]
) -> tuple[list[float], float, list[dict[str, float]], list[str]]:
    """These steps, shortened together until MALA accepts the middle one with the gamma that goes with it;
    that gamma, how often each is accepted, and why. Where a step is given, as they are."""
    why: list[str] = []
    least = REACH * steps[0]
    while True:
        middle = asked.step_size or steps[len(steps) // 2]
        gamma = settling(middle, settings) if asked.gamma is None else asked.gamma
        accepted = mala_acceptances(loss, flat, replace(settings, gamma=gamma), steps)
        rate = accepted[len(steps) // 2]["acceptance"]
        if asked.step_size or rate >= ACCEPTANCE or steps[0] * RETREAT < least:
            return steps, gamma, accepted, why
        why.append(
            f"step_size {middle:.3g}, gamma {gamma:.3g}: MALA accepts {rate:.2f}, less than {ACCEPTANCE}: "
            f"steps are tried at {RETREAT:g} of these"
        )
        steps = [RETREAT * step for step in steps]


def failure_of(found: Estimate, asked: Settings, size: int) -> str:
    """Empty where chains stayed near w*."""
    if not is_lost(found, size):
        return ""
    if asked.step_size:
        remedy = f"leave out step_size={asked.step_size:g}, or give a shorter one"
    else:
        remedy = f"give a stronger localisation, such as gamma={stronger(found.gamma)}"
    return f"no settings were found: {said_of(found)} at step_size {found.step_size:.3g}; {remedy}"


def stronger(gamma: float) -> str:
    """The power of ten that is at least ten times this, and at least 100."""
    return f"{max(100, 10 ** math.ceil(math.log10(max(10 * gamma, 1.0)))):d}"


def bias_of(found: Estimate) -> str:
    if found.sampler == "mala":
        return "none, steps are accepted or rejected"
    if found.step_bias is None:
        return "not known for this sampler"
    return f"{found.step_bias:.2%} at most" if math.isfinite(found.step_bias) else "cannot be told"


def fit(found: Estimate, tolerance: float) -> Estimate:
    """Marked as no number to report where its steps are too long."""
    if not is_biased(found, tolerance):
        return found
    said = f"steps of {found.step_size:.3g} make it {found.step_bias:.1%} too high, above {tolerance:.1%}"
    return replace(found, equilibrated=False, reasons=[*found.reasons, said + ": take sampler=mala"])
