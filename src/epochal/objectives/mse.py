"""Mean squared error on one-hot targets."""

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.objective import LogitsFn, State
from epochal.core.tensors.positions import mean_of
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields


def mse(
    logits_fn: LogitsFn, batch: Batch, fields: Fields, state: State, key: Key
) -> tuple[Float[Tensor, ""], State]:
    """``(z_c - [c is the target])^2``, mean over classes, weighted mean over the batch. Reads no field.

    1 / C for logits of zero, 0 for logits equal to the one-hot target. The mean over classes is that of
    ``torch.nn.MSELoss``; others sum over classes, which is C times as much.

    Source: Hui & Belkin 2021, without their rescaling.
    """
    logits = logits_fn(batch.inputs)
    is_target = torch.arange(logits.shape[-1], device=logits.device) == batch.targets[..., None]
    losses = (logits - is_target.to(logits.dtype)).square().mean(-1)
    return (mean_of(losses) * batch.weight).sum() / batch.weight.sum(), state
