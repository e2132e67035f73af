"""Cross-entropy of float32 logits, in float64."""

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.objective import LogitsFn, State
from epochal.core.tensors.precision import wide
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields
from epochal.objectives.cross_entropy import cross_entropy


def cross_entropy_float64(
    logits_fn: LogitsFn, batch: Batch, fields: Fields, state: State, key: Key
) -> tuple[Float[Tensor, ""], State]:
    """``cross_entropy`` of the logits cast to float64; reads what it reads.

    In float32 a loss of a certain and correct answer is a multiple of about 1e-7: gradients of what is known
    vanish or jump, and without decay training stops or spikes. The network itself stays as it is.

    Source: Nanda et al. 2023, code (``cross_entropy_high_precision``); the effect: Prieto et al. 2025,
    section 3.
    """
    return cross_entropy(lambda inputs: _wide(logits_fn(inputs)), batch, fields, state, key)


def _wide(logits: Tensor) -> Tensor:
    return logits.to(wide(logits.device))
