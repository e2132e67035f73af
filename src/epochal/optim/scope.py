"""What shares one number: a member's whole vector, one module's tensors, or each tensor alone."""

from collections.abc import Iterable
from itertools import groupby
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.layout import Entry, Layout

Scope = Literal["member", "block", "tensor"]


def groups(layout: Layout, scope: Scope) -> list[list[slice]]:
    """The vector cut into groups, each a list of slices. A block is a module: what stands before a name's
    last dot."""
    if scope == "member":
        return [[slice(0, layout.size)]]
    if scope == "tensor":
        return [[entry.slice] for entry in layout.entries]
    ordered = sorted(layout.entries, key=lambda entry: entry.block)  # stable: start order within a block
    return [runs(entries) for _, entries in groupby(ordered, key=lambda entry: entry.block)]


def runs(entries: Iterable[Entry]) -> list[slice]:
    """The slices of these entries, in their order, neighbours joined: one long pass costs less than two."""
    joined: list[slice] = []
    for entry in entries:
        if joined and joined[-1].stop == entry.start:
            joined[-1] = slice(joined[-1].start, entry.slice.stop)
        else:
            joined.append(entry.slice)
    return joined


def norms(matrix: Float[Tensor, "M P"], group: list[slice]) -> Float[Tensor, "M 1"]:
    """Euclidean norm of each member over a group of slices."""
    parts = [torch.linalg.vector_norm(matrix[:, part], dim=1, keepdim=True) for part in group]
    whole: Tensor = parts[0]
    return whole if len(parts) == 1 else torch.linalg.vector_norm(torch.cat(parts, 1), dim=1, keepdim=True)
