"""A member's network as a file that torch reads by itself."""

import io
from pathlib import Path

import torch

from epochal.core.values.errors import UserError
from epochal.experiments.restore import restore
from epochal.store.atomic import write_file
from epochal.store.run import Run


def export(run: Run, member: int, step: int | None, path: Path) -> Path:
    """Writes the state dict of what `restore` gives: names to tensors, on the CPU, and nothing else.

    ``torch.load(path, weights_only=True)`` reads it. An existing file is replaced, whole.

    Raises:
        UserError: there is no such member, no snapshot at that step, or no such folder.
    """
    state = {
        name: tensor.detach().clone() for name, tensor in restore(run, member, step).state_dict().items()
    }
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent} for {path.name}; make it first")
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_file(path, buffer.getbuffer())
    return path
