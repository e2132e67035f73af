"""Cross-entropy: mean negative log-likelihood, in nats."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.objective import LogitsFn, State
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields


def cross_entropy(
    logits_fn: LogitsFn, batch: Batch, fields: Fields, state: State, key: Key
) -> tuple[Float[Tensor, ""], State]:
    """Weighted mean over the batch; ``log C`` for uniform predictions, 0 for certain and correct ones."""
    losses = negative_log_likelihood(logits_fn(batch.inputs), batch.targets)
    return (losses * batch.weight).sum() / batch.weight.sum(), state


def negative_log_likelihood(
    logits: Float[Tensor, "B C"], targets: Int64[Tensor, " B"]
) -> Float[Tensor, " B"]:
    """Per example, in the dtype of the logits."""
    return torch.logsumexp(logits, -1) - logits.gather(-1, targets[..., None])[..., 0]
