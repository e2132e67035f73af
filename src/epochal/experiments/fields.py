"""What varies among members as tensors; dtype and device by name."""

from collections.abc import Sequence

import torch
from torch import Tensor

from epochal.core.tensors.precision import wide
from epochal.core.values.errors import UserError
from epochal.core.values.spec import Spec


def field_tensors(
    members: Sequence[Spec], *, streams: Sequence[str], device: torch.device
) -> dict[str, Tensor]:
    """Field to values ``[M]``: float64 for numbers, int64 for whole ones, stream seeds resolved."""
    names = [name for name in members[0].of_kind("vary") if not name.endswith("_seed")]
    values: dict[str, list[float]] = {name: [getattr(member, name) for member in members] for name in names}
    values |= {f"{stream}_seed": [member.stream_seed(stream) for member in members] for stream in streams}
    return {name: _column(column, device) for name, column in values.items()}


def dtype_of(spec: Spec) -> torch.dtype:
    """Of the parameters: ``bfloat16`` and ``tf32`` are formats of the arithmetic only."""
    return torch.float64 if spec.precision == "float64" else torch.float32


def device_of(spec: Spec) -> torch.device:
    """``auto`` is the first CUDA device where there is one, else the CPU (``mps`` has to be asked for).

    Raises:
        UserError: the device is not there.
    """
    if spec.device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device(spec.device)
    if device.type == "mps":
        if not torch.backends.mps.is_available():
            raise UserError("device=mps is not there: torch sees no Apple GPU; give device=cpu")
        if spec.precision == "float64":
            raise UserError("precision=float64 does not exist on device=mps; give float32, or device=cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        there = torch.cuda.device_count()
        raise UserError(
            f"device={spec.device} is not there: torch sees {there} CUDA devices; give device=cpu"
        )
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def _column(values: Sequence[float], device: torch.device) -> Tensor:
    is_whole = all(isinstance(value, int) for value in values)
    return torch.tensor(values, dtype=torch.int64 if is_whole else wide(device), device=device)
