"""Cross-entropy: mean negative log-likelihood, in nats, with or without label smoothing."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.objective import LogitsFn, State
from epochal.core.tensors.positions import mean_of
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields


def cross_entropy(
    logits_fn: LogitsFn, batch: Batch, fields: Fields, state: State, key: Key
) -> tuple[Float[Tensor, ""], State]:
    """Weighted mean over the batch; ``log C`` for uniform predictions, 0 for certain and correct ones.

    Reads ``label_smoothing`` in [0, 1], if there is such a field: the share of every target that is spread
    evenly over all C classes. 0 is none. As in ``torch.nn.functional.cross_entropy``.

    Source: Szegedy et al. 2016, section 7.
    """
    losses = losses_of(logits_fn(batch.inputs), batch.targets, fields)
    return (losses * batch.weight).sum() / batch.weight.sum(), state


def losses_of(
    logits: Float[Tensor, "B *T C"], targets: Int64[Tensor, "B *T"], fields: Fields
) -> Float[Tensor, " B"]:
    """Per example, the mean over its positions; reads what ``cross_entropy`` reads."""
    right = logits.gather(-1, targets[..., None])[..., 0]
    if "label_smoothing" in fields:
        right = torch.lerp(right, logits.mean(-1), fields["label_smoothing"].to(logits.dtype))
    return mean_of(torch.logsumexp(logits, -1) - right)


def negative_log_likelihood(
    logits: Float[Tensor, "*B C"], targets: Int64[Tensor, "*B"]
) -> Float[Tensor, "*B"]:
    """Per answer, in the dtype of the logits."""
    return torch.logsumexp(logits, -1) - logits.gather(-1, targets[..., None])[..., 0]
