"""Places of examples among their kind, and the values whose order cuts a set into equal parts."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.random import Key


def places_within(group: Int64[Tensor, " N"], num_groups: int, order: Tensor) -> Int64[Tensor, " N"]:
    """Among one's own group: 0 for the smallest value, equal ones in the order of the examples."""
    along = torch.argsort(order, dim=-1, stable=True)
    is_in = group[along] == torch.arange(num_groups, device=group.device)[:, None]
    before = torch.gather(is_in.cumsum(-1), 0, group[along][None])[0] - 1
    return before[torch.argsort(along)]


def random_order(key: Key, index: Int64[Tensor, " N"]) -> Int64[Tensor, " N"]:
    """Values whose order is a random one, the same for an example in whatever company."""
    return random.bits(key, index)


def brightness(inputs: Float[Tensor, "N ..."]) -> Float[Tensor, " N"]:
    """Mean intensity of each image, in its normalised units."""
    return inputs.flatten(1).double().mean(-1)
