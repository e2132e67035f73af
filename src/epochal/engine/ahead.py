"""What an update needs that its step alone decides, computed for many steps at once.

One step at a time, the keys and the learning rate of a small network take as long as its optimiser: fifty
operations on a number each.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.random import Key
from epochal.engine.program import Program

SPAN = 64
"""Steps that are computed together: from a multiple of it to the next, wherever training begins."""


@dataclass(frozen=True, kw_only=True)
class AtStep:
    """Of one step: the key of the update, that of its batch, and the learning rate, per member."""

    key: Key
    batch_key: Key
    learning_rate: Float[Tensor, "M 1"]


class Ahead:
    """Keys and rates by step. Only those of the current span are kept, as a cache."""

    def __init__(self, program: Program, columns: dict[str, Float[Tensor, "M 1"]]) -> None:
        self._program, self._columns = program, columns
        self._first = -1
        self._span: list[AtStep] = []

    def at(self, step: int) -> AtStep:
        """Of the update after ``step`` completed ones."""
        first = step - step % SPAN
        if first != self._first:
            self._first, self._span = first, self._made(first)
        return self._span[step - first]

    def _made(self, first: int) -> list[AtStep]:
        seeds = self._program.fields["seed"].expand(SPAN, -1)
        steps = torch.arange(first, first + SPAN, device=seeds.device)[:, None]
        keys = random.key(seeds, "step", steps.expand_as(seeds))
        rates = self._program.learning_rate(self._columns, steps[..., None]).expand(SPAN, -1, -1)
        each = zip(keys, random.fold(keys, "task"), rates, strict=True)
        return [AtStep(key=key, batch_key=batch, learning_rate=rate) for key, batch, rate in each]
