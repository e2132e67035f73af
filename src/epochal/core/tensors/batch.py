"""A batch of examples of one member, with the true factors that generated them."""

from typing import NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor


class Batch(NamedTuple):
    """``inputs [B, ...]``, ``targets`` and the weight of each example in sums (1 where all count).

    ``targets`` are classes, one per example ``[B]`` or one per position of its answer ``[B, T]``.

    ``factors`` holds what generated each example (operands, core label, group, ...), so that no probe
    has to guess; each is ``[B]``. A ``NamedTuple`` because batches pass through ``vmap``.
    """

    inputs: Tensor
    targets: Int64[Tensor, "B *T"]
    weight: Float[Tensor, " B"]
    factors: dict[str, Tensor]
