"""The widest number format of a device."""

import torch


def wide(device: torch.device) -> torch.dtype:
    """float64, in which hyperparameters and probabilities are kept; float32 where the device has no other."""
    return torch.float32 if device.type == "mps" else torch.float64
