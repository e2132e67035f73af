"""Waves over a cyclic group: cosines and sines of every frequency, orthonormal.

A signal over n elements has the frequencies 0 .. n // 2. ``cos(2 pi f k / n)`` and ``sin(2 pi f k / n)`` have
norm 1 here; the sine of frequency 0, and of n / 2 where n is even, is zero. Squares of the coefficients add
up to those of the signal (Parseval).
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.precision import wide


@lru_cache(maxsize=16)
def waves(n: int, device: torch.device) -> tuple[Float[Tensor, "F n"], Float[Tensor, "F n"]]:
    """Cosines and sines, a row per frequency; F is ``n // 2 + 1``."""
    frequency = torch.arange(n // 2 + 1, dtype=torch.int64)[:, None]
    angle = (2 * math.pi / n) * (frequency * torch.arange(n) % n).double()
    is_single = (2 * frequency) % n == 0
    norm = torch.where(is_single, 1.0, 2.0).double().div(n).sqrt()
    cosines, sines = norm * angle.cos(), torch.where(is_single, 0.0, norm * angle.sin())
    return cosines.to(device, wide(device)), sines.to(device, wide(device))


def coefficients(signal: Float[Tensor, "n *rest"]) -> tuple[Float[Tensor, "F ..."], Float[Tensor, "F ..."]]:
    """Of the cosines and of the sines, along the first axis."""
    cosines, sines = waves(signal.shape[0], signal.device)
    rows = signal.to(cosines.dtype).reshape(signal.shape[0], -1)
    shape = (len(cosines), *signal.shape[1:])
    return (cosines @ rows).reshape(shape), (sines @ rows).reshape(shape)


def power(signal: Float[Tensor, "n D"]) -> Float[Tensor, "F D"]:
    """The squared length of a signal's part at each frequency."""
    cosine, sine = coefficients(signal)
    return cosine**2 + sine**2
