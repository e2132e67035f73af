"""Places of examples in an order, among all or among their kind: how sets are cut into equal parts."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.random import Key


def places(order: Tensor) -> Int64[Tensor, " N"]:
    """0 for the smallest value; equal ones in the order of the examples."""
    return torch.argsort(torch.argsort(order, dim=-1, stable=True), dim=-1)


def places_within(group: Int64[Tensor, " N"], num_groups: int, order: Tensor) -> Int64[Tensor, " N"]:
    """The same among the examples of one's own group."""
    along = torch.argsort(order, dim=-1, stable=True)
    is_in = group[along] == torch.arange(num_groups, device=group.device)[:, None]
    before = torch.gather(is_in.cumsum(-1), 0, group[along][None])[0] - 1
    return before[torch.argsort(along)]


def equal_parts(order: Tensor, num_parts: int) -> Int64[Tensor, " N"]:
    """The part of each example, 0 the smallest values; sizes differ by at most one."""
    return places(order) * num_parts // order.shape[-1]


def random_order(key: Key, index: Int64[Tensor, " N"]) -> Int64[Tensor, " N"]:
    """Values whose order is a random one, the same for an example in whatever company."""
    return random.bits(key, index)


def brightness(inputs: Float[Tensor, "N ..."]) -> Float[Tensor, " N"]:
    """Mean intensity of each image, in its normalised units."""
    return inputs.flatten(1).double().mean(-1)
