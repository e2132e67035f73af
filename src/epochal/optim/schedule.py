"""The learning rate as a function of the step."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor


def warmed_up(fields: Mapping[str, Float[Tensor, "M 1"]], step: int) -> Float[Tensor, "M 1"]:
    """``learning_rate * min(1, (step + 1) / warmup_steps)``; ``step`` counts completed updates.

    The first update already moves. Power et al. 2022 and what follows them use ``step / warmup_steps``,
    whose first update has rate zero: that only delays every step number by one.
    """
    ramp = (step + 1) / fields["warmup_steps"].clamp(min=1)
    return fields["learning_rate"] * ramp.clamp(max=1.0)
