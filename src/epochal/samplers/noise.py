"""Standard normal numbers of each chain: a function of seed, row and step, drawn by generators of their own.

A hash per number (``core/tensors/random``) costs 30 ns with Box and Muller's transform, a generator 3 ns, and
a chain of 10,000 steps in 5,000 dimensions needs 50 million numbers. So every row has a ``torch.Generator``
of its own, seeded from its key: no global state is read or moved, and what a row draws depends neither on how
many other rows there are nor on how long it runs.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.random import Key

NUMBERS_PER_DRAW = 4096
"""Of one row: a call costs 2 us, so small spaces draw several steps at once."""


class RowNoise:
    """``next()`` is ``[R, d]``, a new one each step; rows with the same number have the same noise."""

    def __init__(
        self, key: Key, rows: list[int], size: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._generators = generators(random.fold(key, "noise"), sorted(set(rows)), device)
        self._copies = None if rows == sorted(set(rows)) else [sorted(set(rows)).index(row) for row in rows]
        self._steps = max(1, NUMBERS_PER_DRAW // max(size, 1))
        self._drawn = torch.empty(len(self._generators), self._steps, size, dtype=dtype, device=device)
        self._at = self._steps

    def next(self) -> Float[Tensor, "R d"]:
        if self._at == self._steps:
            for row, generator in zip(self._drawn, self._generators, strict=True):
                row.normal_(generator=generator)
            self._at = 0
        self._at += 1
        now = self._drawn[:, self._at - 1]
        return now if self._copies is None else now[self._copies]


def generators(key: Key, rows: list[int], device: torch.device) -> list[torch.Generator]:
    """One per row, seeded from the key."""
    seeds = random.fold(key.expand(len(rows)), torch.tensor(rows, dtype=torch.int64)).tolist()
    # torch's generator on the CPU reads the lower 32 bits of a seed.
    return [torch.Generator(device).manual_seed(seed & 0xFFFFFFFF) for seed in seeds]
