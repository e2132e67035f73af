"""Binary arithmetic modulo a number: the table ``a op b = c``, a fraction of it for training.

Source: Power et al. 2022, "Grokking: generalization beyond overfitting on small algorithmic datasets",
section 2 and appendix A.1. Unlike there, the split depends on the member's split seed and training
sets of growing fraction are nested.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields, Split


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """Tokens ``[a, b, =]``, target ``a op b mod modulus``; a number is its own token, ``=`` is ``modulus``.

    ``a / b`` is ``a`` times the inverse of ``b``, defined for prime moduli and ``b > 0``. An example's
    index is ``a * B + b`` (``a * B + b - 1`` for division), B the number of second operands.
    """

    operation: str
    modulus: int
    table_size: int
    train_size: int

    @property
    def num_classes(self) -> int:
        return self.modulus

    @property
    def vocabulary(self) -> int:
        return self.modulus + 1

    def size(self, split: Split) -> int:
        return {"train": self.train_size, "val": self.table_size - self.train_size, "test": 0}[split]

    def index(self, split: Split, fields: Fields) -> Int64[Tensor, " N"]:
        order = random.permutation(random.key(fields["split_seed"], "split"), self.table_size)
        return {"train": order[: self.train_size], "val": order[self.train_size :], "test": order[:0]}[split]

    def batch(self, index: Int64[Tensor, " B"], fields: Fields, key: Key, *, training: bool = False) -> Batch:
        columns = self.table_size // self.modulus
        a, b = index // columns, index % columns + (self.modulus - columns)
        answer = self._answers.to(index.device)[index]
        inputs = torch.stack([a, b, torch.full_like(a, self.modulus)], dim=-1)
        weight = torch.ones_like(answer, dtype=torch.float32)
        return Batch(inputs=inputs, targets=answer, weight=weight, factors={"a": a, "b": b})

    @cached_property
    def _answers(self) -> Int64[Tensor, " N"]:
        p = self.modulus
        a = torch.arange(p)[:, None]
        b = torch.arange(1 if self.operation == "/" else 0, p)[None]
        match self.operation:
            case "+":
                answers = a + b
            case "-":
                answers = a - b
            case "*":
                answers = a * b
            case "/":
                answers = a * torch.tensor([pow(int(value), -1, p) for value in b[0]])
            case other:
                raise ValueError(f"operation={other} is not one of + - * /")
        return (answers % p).flatten()
