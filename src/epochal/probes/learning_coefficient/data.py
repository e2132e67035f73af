"""What anyone calls data, as tensors with examples in front."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.data import DataLoader, default_collate

from epochal.core.values.errors import UserError

ALLOWED = (
    "a tensor, a tuple or dict of tensors with examples in front, a Dataset, a DataLoader, "
    "or an iterable of batches"
)


def as_tensors(data: Any) -> tuple[Any, int]:
    """The same structure (tensor, tuple, dict) with all examples, and how many there are.

    A DataLoader gives its data set, whatever its order and batches.

    Raises:
        UserError: it is none of these, or its tensors differ in their number of examples.
    """
    if isinstance(data, DataLoader):
        data = data.collate_fn([data.dataset[number] for number in range(len(data.dataset))])  # type: ignore[arg-type]
    elif not _is_tensors(data) and hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        data = _collated([data[number] for number in range(len(data))])
    elif not _is_tensors(data) and isinstance(data, Iterable):
        data = _joined(list(data))
    data = tuple(data) if isinstance(data, list) else data
    if not _is_tensors(data):
        raise UserError(f"data of type {type(data).__name__}: give {ALLOWED}")
    sizes = {len(leaf) for leaf in tree_flatten(data)[0]}
    if len(sizes) != 1 or sizes == {0}:
        raise UserError(
            f"data have tensors of {', '.join(map(str, sorted(sizes)))} examples: all need the same number"
        )
    return data, sizes.pop()


def pick(data: Any, index: Tensor) -> Any:
    """The examples with these numbers."""
    return tree_map(lambda tensor: tensor[index], data)


def _is_tensors(data: Any) -> bool:
    if not isinstance(data, (Tensor, tuple, list, dict)):
        return False
    leaves = tree_flatten(data)[0]
    return bool(leaves) and all(isinstance(leaf, Tensor) and leaf.ndim > 0 for leaf in leaves)


def _collated(examples: list[Any]) -> Any:
    try:
        return default_collate(examples)
    except (TypeError, RuntimeError) as error:
        raise UserError(f"the examples of this data set do not stack: {error}".splitlines()[0]) from error


def _joined(batches: list[Any]) -> Any:
    if not batches or not all(_is_tensors(batch) for batch in batches):
        raise UserError(f"data of which no batches of tensors can be made: give {ALLOWED}")
    leaves = [tree_flatten(tuple(batch) if isinstance(batch, list) else batch) for batch in batches]
    whole = [torch.cat(parts) for parts in zip(*(each for each, _ in leaves), strict=True)]
    return tree_unflatten(whole, leaves[0][1])
