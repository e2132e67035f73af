"""What an attack makes large, per example, from logits ``[B, C]``."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.values.errors import UserError

Loss = Callable[[Float[Tensor, "B C"], Int64[Tensor, " B"]], Float[Tensor, " B"]]


def cross_entropy(logits: Float[Tensor, "B C"], targets: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
    """In nats, as ``log(1 + exp(log(sum of the others' exp) - right))``: its slope does not round to 0.

    In the usual form that of the right logit is ``p - 1``, which is 0 in float32 from a margin of 17 on: an
    attack on a confident network would see no way up where there is one.
    """
    odds = torch.logsumexp(_others(logits, targets), -1) - _right(logits, targets)
    return torch.nn.functional.softplus(odds, threshold=50.0)


def margin(logits: Float[Tensor, "B C"], targets: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Largest wrong logit minus the right one: above 0 is a success. NaN counts as never reached."""
    return (_wrong(logits, targets) - _right(logits, targets)).nan_to_num(nan=-math.inf)


def dlr(logits: Float[Tensor, "B C"], targets: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Difference of logits ratio: the margin over the gap of the largest and the third largest logit.

    Unchanged when all logits are shifted or multiplied: no scale of the network can hide its slope.

    Source: Croce & Hein 2020, equation 6.

    Raises:
        UserError: fewer than three classes.
    """
    if logits.shape[-1] < 3:
        raise UserError(
            f"the loss dlr needs three classes, there are {logits.shape[-1]}; give attack=apgd-ce"
        )
    ordered = logits.sort(dim=-1, descending=True).values
    gap = ordered[..., 0] - ordered[..., 2]
    return (_wrong(logits, targets) - _right(logits, targets)) / (gap + 1e-12)


def away_from(clean: Float[Tensor, "B C"]) -> Loss:
    """``KL(clean || logits)``: how far predictions moved, whatever the targets (Zhang et al. 2019)."""
    log_clean = torch.log_softmax(clean, -1)

    def divergence(logits: Float[Tensor, "B C"], targets: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
        return (log_clean.exp() * (log_clean - torch.log_softmax(logits, -1))).sum(-1)

    return divergence


def _right(logits: Float[Tensor, "B C"], targets: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
    return logits.gather(-1, targets[..., None])[..., 0]


def _wrong(logits: Float[Tensor, "B C"], targets: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
    return _others(logits, targets).amax(-1)


def _others(logits: Float[Tensor, "B C"], targets: Int64[Tensor, " B"]) -> Float[Tensor, "B C"]:
    is_target = torch.arange(logits.shape[-1], device=logits.device) == targets[..., None]
    return logits.masked_fill(is_target, -math.inf)
