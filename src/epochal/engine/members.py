"""A function of one member, applied to all members of a pack."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_map


def for_members(function: Callable[..., Any], num_members: int) -> Callable[..., Any]:
    """The function over a leading member axis of every argument and result.

    A single member is called directly: ``vmap`` costs about 20 us per operation, which is a third of a
    small network's step.
    """
    if num_members > 1:
        return torch.vmap(function, randomness="error")

    def alone(*arguments: Any) -> Any:
        results = function(*tree_map(lambda tensor: tensor.squeeze(0), arguments))
        return tree_map(lambda tensor: tensor.unsqueeze(0), results)

    return alone
