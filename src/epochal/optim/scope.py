"""What shares one number: a member's vector, a repeated block's tensors, a module's, or each tensor alone."""

from collections.abc import Iterable
from itertools import groupby
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.layout import Entry, Layout
from epochal.core.values.errors import UserError

Scope = Literal["member", "repeated", "block", "tensor"]


def groups(layout: Layout, scope: Scope) -> list[list[slice]]:
    """The vector cut into groups, each a list of slices.

    A block is a module: what stands before a name's last dot. Repeated are the parts of a model's lists, such
    as ``block.0``, each with all that is in it; what stands outside of lists belongs to no group.

    Raises:
        UserError: the network has no list.
    """
    if scope == "member":
        return [[slice(0, layout.size)]]
    if scope == "tensor":
        return [[entry.slice] for entry in layout.entries]
    name_of = _repeated if scope == "repeated" else _module
    named = [(name, entry) for entry in layout.entries if (name := name_of(entry)) is not None]
    if not named:
        raise UserError("this network repeats no block, so none has a norm of its own: take member or block")
    named.sort(key=lambda pair: pair[0])  # stable: start order within a block
    return [runs(entry for _, entry in pairs) for _, pairs in groupby(named, key=lambda pair: pair[0])]


def _module(entry: Entry) -> str:
    return entry.block


def _repeated(entry: Entry) -> str | None:
    """``block.0`` of ``block.0.first.weight``: up to the first number."""
    parts = entry.name.split(".")
    return next((".".join(parts[: place + 1]) for place, part in enumerate(parts) if part.isdigit()), None)


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
