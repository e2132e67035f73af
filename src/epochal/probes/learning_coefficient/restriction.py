"""Which parameters move: all, or those with given names."""

from collections.abc import Sequence

import torch
from torch import Tensor

from epochal.core.tensors.layout import Layout
from epochal.core.values.errors import UserError


def restriction(layout: Layout, names: Sequence[str], like: Tensor) -> Tensor | None:
    """True at the parameters with these names, or in the modules with these names; None where none is given.

    Raises:
        UserError: a name of neither.
    """
    if not names:
        return None
    mask = torch.zeros(layout.size, dtype=torch.bool, device=like.device)
    for name in names:
        found = [entry for entry in layout.entries if entry.name == name or entry.name.startswith(name + ".")]
        if not found:
            raise UserError(f"restrict={name} is no parameter or module; there are {', '.join(layout.names)}")
        for entry in found:
            mask[entry.slice] = True
    return mask
