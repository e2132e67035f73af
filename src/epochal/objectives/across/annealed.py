"""The weight of a penalty that counts in full only after some updates."""

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.objective import State
from epochal.core.tensors.task import Fields


def fresh(fields: Fields) -> State:
    """Before any update: the counter ``updates``."""
    return {"updates": torch.zeros_like(fields["seed"])}


def penalty_weight(fields: Fields, state: State) -> tuple[Float[Tensor, ""], State]:
    """``penalty_weight``, at most 1 in the first ``penalty_anneal_steps`` updates; and the counter, moved.

    An objective without its state (one that is only evaluated) has left these updates behind.

    Source: DomainBed 2024-12-31, ``IRM.update`` and ``VREx.update``: exactly 1 there, which a weight below 1
    would make a stronger start; the optimiser is made anew after these updates there, and goes on here.
    """
    full = fields["penalty_weight"]
    if "updates" not in state:
        return full, state
    updates = state["updates"]
    is_early = updates < fields["penalty_anneal_steps"]
    return torch.where(is_early, full.clamp(max=1.0), full), {"updates": updates + 1}
