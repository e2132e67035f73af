"""The contract of a task: examples of one member by index."""

from collections.abc import Mapping
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Int64
from torch import Tensor

from epochal.core.tensors.batch import Batch
from epochal.core.tensors.random import Key

Split = Literal["train", "val", "test"]
Fields = Mapping[str, Tensor]
"""Varying fields of one member as scalar tensors; ``<stream>_seed`` are the resolved seeds."""


@runtime_checkable
class Task(Protocol):
    """A set of examples with splits. All methods are for one member, pure, and usable under ``vmap``."""

    @property
    def num_classes(self) -> int: ...

    def size(self, split: Split) -> int:
        """Number of examples; equal for all members of a pack."""
        ...

    def index(self, split: Split, fields: Fields) -> Int64[Tensor, " N"]:
        """The examples of a split, as numbers that :meth:`batch` understands, in a fixed order."""
        ...

    def batch(self, index: Int64[Tensor, " B"], fields: Fields, key: Key, *, training: bool = False) -> Batch:
        """Inputs, targets, weights and factors of these examples; augmented only for ``training``."""
        ...
