"""What anyone calls data, as tensors with examples in front."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.data import DataLoader, default_collate

from epochal.core.values.errors import UserError

ALLOWED = (
    "a tensor or array, a tuple or dict of them with examples in front, a Dataset, a DataLoader, "
    "or an iterable of batches"
)


def as_tensors(data: Any, like: Tensor) -> tuple[Any, int]:
    """The same structure (tensor, tuple, dict) with all examples, and how many there are.

    A DataLoader gives its data set, whatever its order and batches. NumPy's arrays become tensors: floating
    ones of the kind of ``like``, since NumPy's own is not torch's, and whole numbers as torch has classes.

    Raises:
        UserError: it is none of these, or its tensors differ in their number of examples.
    """
    data = _without_arrays(data, like)
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


def _without_arrays(data: Any, like: Tensor) -> Any:
    """Arrays as tensors. Of lists only pairs: a longer one is a data set whose examples are arrays."""
    if isinstance(data, np.ndarray):
        return _of_array(data, like)
    if isinstance(data, dict):
        return {name: _without_arrays(each, like) for name, each in data.items()}
    if type(data) is tuple or (type(data) is list and len(data) == 2):
        return type(data)(_without_arrays(each, like) for each in data)
    return data


def _of_array(array: Any, like: Tensor) -> Tensor:
    kind = array.dtype.kind
    if kind not in "fiub":
        raise UserError(f"data have an array of {array.dtype}: give floating or whole numbers")
    # A copy: torch takes neither what is read only nor steps backwards.
    copied = torch.from_numpy(np.array(array, dtype=np.int64 if kind in "iu" else None, order="C"))
    return copied.to(like) if kind == "f" else copied.to(like.device)


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
