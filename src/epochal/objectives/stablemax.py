"""StableMax cross-entropy: probabilities that fall with a power of the logits, not exponentially."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.objective import LogitsFn, State
from epochal.core.tensors.positions import mean_of
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields


def stablemax(
    logits_fn: LogitsFn, batch: Batch, fields: Fields, state: State, key: Key
) -> tuple[Float[Tensor, ""], State]:
    """``-log(s_target / sum_c s_c)``, s(z) = z + 1 from 0 on, 1 / (1 - z) below. Reads no field.

    Weighted mean over the batch; ``log C`` for equal logits, 0 for certain and correct ones.

    Source: Prieto et al. 2025, "Grokking at the edge of numerical stability", section 4.
    """
    losses = stablemax_nll(logits_fn(batch.inputs), batch.targets)
    return (mean_of(losses) * batch.weight).sum() / batch.weight.sum(), state


def stablemax_nll(logits: Float[Tensor, "*B C"], targets: Int64[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    """Per answer, as ``log(1 + exp(log(sum of the others' s) - log s_target))``.

    In logarithms nothing overflows, and because the target is left out of the sum a small loss keeps its
    digits; the source divides by the whole sum, where in float32 a loss below 6e-8 is 0.
    """
    logs = _log_s(logits)
    is_target = torch.arange(logits.shape[-1], device=logits.device) == targets[..., None]
    others = torch.logsumexp(logs.masked_fill(is_target, -math.inf), -1)
    odds = others - logs.gather(-1, targets[..., None])[..., 0]
    # softplus is the identity from its threshold on: at 50 what it drops is below float64's resolution.
    return torch.nn.functional.softplus(odds, threshold=50.0)


def _log_s(logits: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
    # Not sign(z) log1p(|z|): its derivative at 0, where a zero read-out starts, comes out as 0 instead of 1.
    return torch.where(logits >= 0, torch.log1p(logits.clamp(min=0.0)), -torch.log1p(-logits.clamp(max=0.0)))
