"""The flat layout: all parameters of a network as one vector, of a population as one matrix.

``Layout`` says which slice of the vector is which named tensor. One split of the matrix has one
efficient backward (a concatenation), which is why all views are cut at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One named tensor in the vector. ``block`` groups tensors: everything before the last dot."""

    name: str
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def slice(self) -> slice:
        return slice(self.start, self.start + self.size)

    @property
    def block(self) -> str:
        return self.name.rpartition(".")[0]


@dataclass(frozen=True)
class Layout:
    """The order of named tensors in a vector of ``size`` numbers."""

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, shapes: Mapping[str, Iterable[int]]) -> "Layout":
        """From names and shapes, in their order."""
        entries, start = [], 0
        for name, shape in shapes.items():
            entries.append(Entry(name=name, shape=tuple(shape), start=start))
            start += entries[-1].size
        return cls(tuple(entries))

    @cached_property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.entries)

    @cached_property
    def _sizes(self) -> list[int]:
        return [entry.size for entry in self.entries]

    def unflatten(self, flat: Float[Tensor, "*M P"]) -> dict[str, Tensor]:
        """Views of shape ``[*M, *shape]`` by name; differentiable with one concatenation backward."""
        parts = flat.split(self._sizes, dim=-1) if self.entries else ()
        lead = flat.shape[:-1]
        return {
            entry.name: part if len(entry.shape) == 1 else part.reshape((*lead, *entry.shape))
            for entry, part in zip(self.entries, parts, strict=True)
        }

    def flatten(self, tensors: Mapping[str, Tensor]) -> Float[Tensor, "*M P"]:
        """The inverse of :meth:`unflatten`.

        Raises:
            KeyError: a name of the layout is missing.
        """
        flats = []
        for entry in self.entries:
            tensor = tensors[entry.name]
            lead = tensor.shape[: tensor.ndim - len(entry.shape)]
            assert tensor.shape[len(lead) :] == entry.shape, (
                f"{entry.name}: {tuple(tensor.shape)}, not {entry.shape}"
            )
            flats.append(tensor.reshape((*lead, entry.size)))
        return torch.cat(flats, dim=-1) if flats else torch.zeros(0)
