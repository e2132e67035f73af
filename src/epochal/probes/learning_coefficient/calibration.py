"""Step size, localisation and temperature from curvature, acceptance, and what steps add to the estimate."""

import math
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from epochal.analysis.chains.learning_coefficient import HIGHEST_STEP_BIAS, Estimate
from epochal.core.values.errors import UserError
from epochal.probes.learning_coefficient.potential import NetworkLoss
from epochal.probes.learning_coefficient.sampling import (
    SETTLING,
    Settings,
    coefficient,
)
from epochal.probes.learning_coefficient.soundings import (
    MAP_CHAINS,
    acceptance_of,
    curvature_of,
    map_of,
    prior_curvature,
)

STEPS = (0.4, 0.2, 0.1, 0.05, 0.025)
"""Step sizes tried, in units of ``1 / (n_beta h)``, h the largest curvature."""

ACCEPTANCE = 0.9
DOUBLINGS = 3
SHORTENINGS = 4
AIM = 0.7
"""Of the tolerance: where a bias in proportion to the step should end when it is shortened."""

SHORTEST_SHARE = 1 / 16
"""Of a step, in one shortening: what chains say that have not settled may be far off."""


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


def calibrate(
    loss: NetworkLoss,
    flat: Float[Tensor, " P"],
    asked: Settings,
    *,
    tolerance: float = HIGHEST_STEP_BIAS,
) -> Calibration:
    """Of the settings asked for, what is None is chosen.

    The step is the longest that full-batch MALA accepts with probability .9, whose own bias is at most
    ``tolerance`` of the estimate, and whose estimate agrees with that of half of it. The bias is measured
    along the chains (:func:`~epochal.samplers.langevin.sgld`), not derived from the curvature at w*, which is
    small where minima are singular; of the other samplers that are not corrected it is twice the change from
    half of the step. gamma is what settles directions without curvature within burn-in, ``4 / (eps
    burn_in)``. Chains that show a larger bias in the end get shorter steps; draws and burn-in double until
    they are equilibrated, three times at most. What then still fails either is marked as not equilibrated.

    Raises:
        UserError: a setting out of its range, or a loss that is not finite or does not curve up here.
    """
    if not 0 < tolerance < 1:
        raise UserError(f"tolerance={tolerance:g} is outside (0, 1): a share of the estimate, such as 0.03")
    settings, reasons = asked.checked(loss.size), []
    n_beta, burn_in = settings.n_beta, settings.burn_in
    assert n_beta is not None and burn_in is not None
    baseline = float(loss.full(flat[None])[0])
    if not math.isfinite(baseline):
        raise UserError(f"the loss at these parameters is {baseline}: there is nothing to calibrate")
    if asked.n_beta is None:
        reasons.append(f"n_beta = n / log n of {loss.size} examples = {n_beta:.5g}")
    curvature = curvature_of(loss, flat, settings.seed)
    top, where = curvature["top"][0], ""
    if asked.gamma and n_beta * top <= asked.gamma:
        top, where = prior_curvature(loss, flat, settings), f" at draws of N(w*, 1 / {asked.gamma:g})"
    if top <= 0:
        raise UserError("the loss curves up in no direction here: no step size follows; give step_size=")
    reasons.append(
        f"largest curvature {top:.4g} by Lanczos{where}: steps are tried at {STEPS} / (n_beta {top:.4g})"
    )
    steps = [share / (n_beta * top) for share in STEPS]
    middle = asked.step_size or steps[2]
    gamma = SETTLING / (middle * max(burn_in, 1)) if asked.gamma is None else asked.gamma
    accepted = acceptance_of(loss, flat, replace(settings, gamma=gamma), steps)
    table = map_of(loss, flat, replace(settings, chains=MAP_CHAINS), gamma, steps, baseline)
    step_size = asked.step_size
    if step_size is None:
        column = [row for row in table if row["n_beta"] == n_beta]
        step_size, why = chosen_step(accepted, column, tolerance=tolerance, is_exact=asked.sampler == "mala")
        reasons += why
    final, why = localised(replace(settings, step_size=step_size, gamma=gamma), asked)
    reasons += why
    found = coefficient(loss, flat, final)
    doublings, shortenings = DOUBLINGS, 0 if asked.step_size else SHORTENINGS
    while not found.diverged:
        if is_biased(found, tolerance) and shortenings:
            assert found.step_bias is not None and final.step_size is not None
            share = max(SHORTEST_SHARE, min(AIM * tolerance / found.step_bias, 0.5))
            reasons.append(
                f"step_size {final.step_size:.3g}: final chains are {found.step_bias:.1%} too high for it, "
                f"more than {tolerance:.1%}: {share:.2g} of it"
            )
            final, why = localised(replace(final, step_size=share * final.step_size), asked)
            reasons += why
            shortenings -= 1
        elif not found.equilibrated and doublings:
            draws, longer = 2 * final.draws, 2 * (final.burn_in or 0)
            reasons.append(f"{final.draws} draws: {'; '.join(found.reasons)}: doubled, gamma kept")
            final = replace(final, draws=draws, burn_in=longer)
            doublings -= 1
        else:
            break
        found = coefficient(loss, flat, final)
    found = fit(found, tolerance)
    bias = "not known for this sampler" if found.step_bias is None else f"{found.step_bias:.2%} at most"
    if asked.sampler == "mala":
        bias = "none, steps are accepted or rejected"
    reasons.append(f"{final.draws} draws after {final.burn_in}: {found.verdict}; bias of its steps: {bias}")
    return Calibration(
        settings=final, estimate=found, curvature=curvature, acceptance=accepted, map=table, reasons=reasons,
        tolerance=tolerance,
    )  # fmt: skip


def localised(settings: Settings, asked: Settings) -> tuple[Settings, list[str]]:
    """With the gamma that burn-in can settle at this step, where none was asked for; and why."""
    if asked.gamma is not None:
        return settings, []
    assert settings.step_size is not None and settings.n_beta is not None
    gamma = SETTLING / (settings.step_size * max(settings.burn_in or 0, 1))
    why = (
        f"gamma = {SETTLING:g} / (step_size x {settings.burn_in} steps of burn-in) = {gamma:.4g}: what has "
        f"no curvature settles in burn-in; below gamma / n_beta = {gamma / settings.n_beta:.2g} it counts "
        "partly"
    )
    return replace(settings, gamma=gamma), [why]


def is_biased(found: Estimate, tolerance: float) -> bool:
    return found.step_bias is not None and found.step_bias > tolerance


def fit(found: Estimate, tolerance: float) -> Estimate:
    """Marked as no number to report where its steps are too long."""
    if not is_biased(found, tolerance):
        return found
    said = f"steps of {found.step_size:.3g} make it {found.step_bias:.1%} too high, above {tolerance:.1%}"
    return replace(found, equilibrated=False, reasons=[*found.reasons, said + ": take sampler=mala"])


def chosen_step(
    accepted: list[dict[str, float]], column: list[dict[str, Any]], *, tolerance: float, is_exact: bool
) -> tuple[float, list[str]]:
    """The longest step of those from long to short that is accepted, whose bias is tolerated, and that is on
    the plateau; and why. A shorter one than all of them where none is: final chains say whether it will do.
    """
    why, biases = [], []
    for place, (row, cell) in enumerate(zip(accepted, column, strict=True)):
        step, rate, bias = row["step_size"], row["acceptance"], cell["step_bias"]
        says = f"step_size {step:.3g}: MALA accepts {rate:.2f}"
        if bias is not None:
            biases.append(bias)
            says += f", chains are {bias:.1%} too high for its length"
        if rate < ACCEPTANCE:
            why.append(f"{says}: accepted less than {ACCEPTANCE}")
            continue
        if cell["llc"] is None:
            why.append(f"{says}: chains diverged")
            continue
        if bias is not None and bias > tolerance:
            why.append(f"{says}: more than {tolerance:.1%}")
            continue
        shorter = column[place + 1] if place + 1 < len(column) else None
        if shorter is None or shorter["llc"] is None:
            why.append(f"{says}; the shortest that was tried")
            return step, why
        change = abs(cell["llc"] - shorter["llc"])
        error = 2 * math.hypot(cell["standard_error"], shorter["standard_error"])
        # A bias in proportion to the step is twice the change to half of it.
        allowed = max(abs(cell["llc"]) * tolerance / 2, error)
        half = f"{shorter['llc']:.4g} with half of it (+- {error / 2:.2g})"
        both = f"the estimate is {cell['llc']:.4g}, and {half}"
        if is_exact or change <= allowed:
            why.append(f"{says}; {both}: a plateau")
            return step, why
        why.append(f"{says}, but {both}: no plateau")
    last, least = accepted[-1]["step_size"], biases[-1] if biases else math.nan
    share = max(SHORTEST_SHARE, min(AIM * tolerance / least, 0.5)) if least > tolerance else 0.5
    why.append(f"no step of these will do: {share:.2g} of the shortest is taken, {share * last:.3g}")
    return share * last, why
