"""Which frequencies are key: those in whose waves over ``a + b`` much of the logits' variance lies."""

import torch
from jaxtyping import Bool, Int64
from pydantic import Field
from torch import Tensor

from epochal.core.values.errors import UserError
from epochal.core.values.options import Options
from epochal.probes.modular.logit_waves import LogitWaves


class KeyFrequencyOptions(Options):
    """Given frequencies, or else the largest ``number``, or else all that explain ``threshold`` or more."""

    frequencies: tuple[int, ...] = Field(
        default=(), description="these, at every step, such as those of the last"
    )
    number: int = Field(
        default=0, ge=0, description="as many as this, the largest; 0 leaves it to the threshold"
    )
    threshold: float = Field(
        default=0.02, ge=0, le=1, description="share of the logits' variance that makes one key"
    )


def is_key(options: KeyFrequencyOptions, logits: LogitWaves) -> Bool[Tensor, " F"]:
    """For every frequency from 1 on.

    Raises:
        UserError: a given frequency, or number of them, that the group does not have.
    """
    shares, most = logits.shares, logits.num_frequencies
    for name, given in [("frequencies", options.frequencies), ("number", (options.number or 1,))]:
        if wrong := [value for value in given if not 1 <= value <= most]:
            raise UserError(f"{name}={wrong[0]} is outside 1 to {most}: there are {most} frequencies here")
    if options.frequencies:
        chosen = torch.tensor([f in options.frequencies for f in range(1, most + 1)], device=shares.device)
        return chosen & ~shares.isnan()
    if options.number:
        return rank(shares) < options.number
    return shares >= options.threshold


def rank(shares: Tensor) -> Int64[Tensor, " F"]:
    """0 for the largest; of equal ones the lower frequency is before the other."""
    return shares.argsort(descending=True, stable=True).argsort()
