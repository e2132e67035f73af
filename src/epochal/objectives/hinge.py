"""Multi-class hinge loss: what is right by a margin of one costs nothing."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.objective import LogitsFn, State
from epochal.core.tensors.positions import mean_of
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields


def hinge(
    logits_fn: LogitsFn, batch: Batch, fields: Fields, state: State, key: Key
) -> tuple[Float[Tensor, ""], State]:
    """``max(0, 1 + max_{c != y} z_c - z_y)``, weighted mean over the batch. Reads no field.

    1 for equal logits, 0 where the right logit exceeds all others by 1. Unlike cross-entropy it stops pulling
    once a margin is reached.

    Source: Crammer & Singer 2001, section 3, with a margin of 1.
    """
    logits = logits_fn(batch.inputs)
    is_target = torch.arange(logits.shape[-1], device=logits.device) == batch.targets[..., None]
    right = logits.gather(-1, batch.targets[..., None])[..., 0]
    largest_wrong = logits.masked_fill(is_target, -math.inf).amax(-1)
    losses = (1 + largest_wrong - right).clamp(min=0)
    return (mean_of(losses) * batch.weight).sum() / batch.weight.sum(), state
