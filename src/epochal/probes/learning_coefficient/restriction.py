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


def block_names(layout: Layout, asked: Sequence[str]) -> list[str]:
    """The names asked for; ``each`` stands for every module that has parameters of its own.

    Raises:
        UserError: a name of neither a parameter nor a module.
    """
    every = dict.fromkeys(entry.name.rpartition(".")[0] or entry.name for entry in layout.entries)
    for word in asked:
        if word != "each" and not any(f"{name}.".startswith(f"{word}.") for name in layout.names):
            raise UserError(
                f"blocks={word} is no parameter or module; modules are {', '.join(every)}; "
                "blocks=each means all of them"
            )
    return list(dict.fromkeys(name for word in asked for name in (every if word == "each" else [word])))
