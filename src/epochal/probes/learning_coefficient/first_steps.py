"""Step size and localisation that follow from the largest curvature and the length of burn-in."""

from jaxtyping import Float
from torch import Tensor

from epochal.probes.learning_coefficient.loss_curvature import largest_curvatures
from epochal.probes.learning_coefficient.potential import NetworkLoss
from epochal.probes.learning_coefficient.settings import Settings

STEP_OF_STIFFEST = 0.1
"""``eps (n_beta h + gamma)`` in the direction of largest curvature h: there, unadjusted steps overrate the
energy by 1 / (1 - 0.1 / 4), 2.6%, and less in every other."""

SETTLING = 4.0
"""``eps gamma burn_in``: the energy of directions without curvature of their own has reached 1 - exp(-4)."""


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
        top = max(largest_curvatures(loss, flat, settings.seed, mask=mask)[0], 0.0)
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
