"""The last word of a calibration: chains with shorter steps and more draws, as far as they need them."""

import math
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from epochal.analysis.chains.learning_coefficient import Estimate
from epochal.analysis.chains.verdict import is_negative, reasons_of_step
from epochal.probes.learning_coefficient.effort import Effort
from epochal.probes.learning_coefficient.first_steps import SETTLING, settling
from epochal.probes.learning_coefficient.potential import NetworkLoss
from epochal.probes.learning_coefficient.sampling import coefficient
from epochal.probes.learning_coefficient.settings import Settings
from epochal.probes.learning_coefficient.soundings import ran_away
from epochal.probes.learning_coefficient.step_choice import share_for

RETREAT = 0.25
"""Of a step that is rejected, or whose chains leave w*: where the loss is nearly 0, curvature at w* says
nothing of the walls that chains meet."""

DOUBLINGS = 3
SHORTENINGS = 4
RETREATS = 6


def settled(
    loss: NetworkLoss,
    flat: Float[Tensor, " P"],
    final: Settings,
    asked: Settings,
    tolerance: float,
    effort: Effort,
) -> tuple[Settings, Estimate, list[str]]:
    """Settings with shorter steps and more draws, as far as chains need them; what they find, and why."""
    reasons: list[str] = []
    doublings, shortenings, retreats = DOUBLINGS, SHORTENINGS, RETREATS
    if asked.step_size:
        shortenings = retreats = 0
    while True:
        found = coefficient(loss, flat, final)
        assert final.step_size is not None
        if is_lost(found, flat.shape[-1]):
            if not retreats:
                break
            reasons.append(f"step_size {final.step_size:.3g}: {said_of(found)}: {RETREAT:g} of it")
            final, why = localised(replace(final, step_size=RETREAT * final.step_size), asked)
            reasons += why
            retreats -= 1
        elif is_negative(found.value, found.standard_error):
            reasons.append(
                f"negative, {found.value:.4g} +- {found.standard_error:.2g}: w* is no minimum of this loss; "
                "train longer"
            )
            break
        elif is_biased(found, tolerance) and shortenings:
            assert found.step_bias is not None and final.step_size is not None
            share = share_for(found.step_bias, tolerance)
            reasons.append(
                f"step_size {final.step_size:.3g}: final chains are {found.step_bias:.1%} too high for it, "
                f"more than {tolerance:.1%}: {share:.2g} of it"
            )
            final, why = localised(replace(final, step_size=share * final.step_size), asked)
            reasons += why
            shortenings -= 1
        elif not shortenings and is_for_its_step(found):
            reasons.append(
                f"step_size {final.step_size:.3g} is at fault, which more draws do not mend: "
                + ("leave out step_size=, or give a shorter one" if asked.step_size else "give a shorter one")
            )
            break
        elif not found.equilibrated and doublings:
            draws, longer = 2 * final.draws, 2 * (final.burn_in or 0)
            reasons.append(f"{final.draws} draws: {'; '.join(found.reasons)}: doubled, gamma kept")
            final = replace(final, draws=draws, burn_in=longer)
            doublings -= 1
        else:
            break
        effort.expect(final)
    return final, found, reasons


def localised(settings: Settings, asked: Settings) -> tuple[Settings, list[str]]:
    """With the gamma that burn-in can settle at this step, where none was asked for; and why."""
    if asked.gamma is not None:
        return settings, []
    assert settings.step_size is not None and settings.n_beta is not None
    gamma = settling(settings.step_size, settings)
    why = (
        f"gamma = {SETTLING:g} / (step_size x {settings.burn_in} steps of burn-in) = {gamma:.4g}: what has "
        f"no curvature settles in burn-in; below gamma / n_beta = {gamma / settings.n_beta:.2g} it counts "
        "partly"
    )
    return replace(settings, gamma=gamma), [why]


def is_for_its_step(found: Estimate) -> bool:
    """Whether a shorter step is all that is missing; where few proposals are accepted, all else follows."""
    of_step = reasons_of_step(found.step_bias, found.acceptance)
    is_stuck = bool(reasons_of_step(None, found.acceptance))
    return is_stuck or (bool(found.reasons) and set(found.reasons) <= set(of_step))


def is_lost(found: Estimate, size: int) -> bool:
    return bool(found.diverged) or ran_away(found, size)


def said_of(found: Estimate) -> str:
    """Of chains that are lost."""
    if found.diverged:
        chain, step = next(iter(found.diverged.items()))
        return f"chain {chain} diverged at step {step}"
    return f"chains ran away from w*, to {found.value:.3g}"


def is_biased(found: Estimate, tolerance: float) -> bool:
    """Of which share cannot be told where nothing is left without it (infinite): that is no bias."""
    return found.step_bias is not None and tolerance < found.step_bias < math.inf
