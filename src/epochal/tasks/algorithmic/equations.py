"""Equations ``a op b = c`` by their numbers: operands are digits, no table of p^K equations is ever made.

Source: Power et al. 2022, "Grokking: generalization beyond overfitting on small algorithmic datasets",
section 2 and appendix A.1; MIML-grokking for K operands and a limited first one. Unlike there, splits depend
on the member's split seed, and training sets of growing size are nested.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.bijection import below, shuffled
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields, Split
from epochal.tasks.algorithmic.expression import evaluate
from epochal.tasks.algorithmic.operation import Operation
from epochal.tasks.algorithmic.permutations import products
from epochal.tasks.algorithmic.tokens import Form

LARGEST_SORTED = 2**24
"""Equations whose order is a sorted permutation, 8 bytes each while it is made; above, a keyed bijection."""

LARGEST_KEPT = 2**20
"""Equations whose answers are computed once and looked up; above, with each batch."""

OwnOperation = Callable[[list[Tensor], int], Tensor]
Numbers = Int64[Tensor, " B"]


@dataclass(frozen=True, kw_only=True)
class Equations:
    """Equations in a form, numbered with the first operand as the most significant digit.

    ``first_values`` limits the first operand to that many values, drawn from the split seed; sets of growing
    size are nested. Of a keyed order of all equations, the first ``train_size`` are trained on and the last
    ``val_size`` validate, so that validation is the same for every training set that leaves it room.

    With ``is_noisy``, the first ``round(label_noise train_size)`` training equations of a member get the
    result of another equation drawn at random (which is the right one as often as two results agree). Their
    index is that of the equation plus ``table_size``.

    Of ``parity``, ``relevant_operands`` bits count, drawn from the split seed. ``own`` is called with the
    operands, each ``[B]``, and the modulus; its result is taken modulo that.

    Factors: ``a``, ``b``, ... are the operands (``operand_27`` from there on), ``noisy`` says whose label is.
    """

    operation: Operation
    form: Form
    modulus: int
    train_size: int
    val_size: int
    first_values: int
    relevant_operands: int = 0
    is_noisy: bool = False
    own: OwnOperation | None = None

    @property
    def num_classes(self) -> int:
        return self.form.num_classes

    @property
    def radices(self) -> tuple[int, ...]:
        """How many values each operand takes."""
        others = map(self.operation.values_of, range(1, self.operation.num_operands))
        return (self.first_values, *others)

    @property
    def table_size(self) -> int:
        return math.prod(self.radices)

    def size(self, split: Split) -> int:
        return {"train": self.train_size, "val": self.val_size, "test": 0}[split]

    def index(self, split: Split, fields: Fields) -> Int64[Tensor, " N"]:
        total, key = self.table_size, random.key(fields["split_seed"], "split")
        first = {"train": 0, "val": total - self.val_size, "test": total}[split]
        if total <= LARGEST_SORTED:
            numbers = random.permutation(key, total)[first : first + self.size(split)]
        else:
            places = torch.arange(first, first + self.size(split), device=key.device)
            numbers = shuffled(key, places, self._halves)
        if split == "train" and self.is_noisy:
            noisy = (fields["label_noise"] * self.train_size).round()
            numbers = numbers + total * (torch.arange(self.train_size, device=key.device) < noisy)
        return numbers

    def batch(self, index: Int64[Tensor, " B"], fields: Fields, key: Key, *, training: bool = False) -> Batch:
        number, answering = index, index
        is_noisy: Bool[Tensor, " B"] = torch.zeros_like(index, dtype=torch.bool)
        if self.is_noisy:
            is_noisy, number = index >= self.table_size, index % self.table_size
            answering = torch.where(is_noisy, self._another(number, fields), number)
        operands = self._operands(number, fields)
        result = self._results(answering, fields)
        inputs, targets = self._tokens(operands, result)
        return Batch(
            inputs=inputs,
            targets=targets,
            weight=torch.ones_like(index, dtype=torch.float32),
            factors={**dict(zip(letters(len(operands)), operands, strict=True)), "noisy": is_noisy},
        )

    def _operands(self, number: Numbers, fields: Fields) -> list[Numbers]:
        """The digits of a number, as elements."""
        operands: list[Tensor] = []
        for place in reversed(range(1, len(self.radices))):
            operands.append(number % self.radices[place] + self.operation.lowest(place))
            number = number // self.radices[place]
        every = self.operation.values_of(0)
        if self.first_values < every:
            chosen = random.key(fields["split_seed"], "operands")
            number = random.permutation(chosen, every)[: self.first_values].to(number.device)[number]
        return [number + self.operation.lowest(0), *reversed(operands)]

    def _another(self, number: Numbers, fields: Fields) -> Numbers:
        """A different number for each, uniformly random."""
        drawn = random.bits(random.key(fields["split_seed"], "label_noise"), number)
        return (number + 1 + below(drawn, self.table_size - 1)) % self.table_size

    def _results(self, number: Numbers, fields: Fields) -> Int64[Tensor, "B *T"]:
        """Elements: one per equation, or one per position of a list."""
        if self.operation.kind == "parity":
            drawn = random.permutation(random.key(fields["split_seed"], "relevant"), len(self.radices))
            counts = (drawn < self.relevant_operands).to(number.device)
            return (torch.stack(self._operands(number, fields), -1) * counts).sum(-1) % 2
        if self._kept is None:
            return self._computed(self._operands(number, fields))
        if self.first_values < self.operation.values_of(0):
            rest = math.prod(self.radices[1:])
            first = self._operands(number, fields)[0] - self.operation.lowest(0)
            number = first * rest + number % rest
        return self._kept.to(number.device)[number]

    @cached_property
    def _kept(self) -> Int64[Tensor, "N *T"] | None:
        """The results of all equations, with every value of the first operand; None where there are many."""
        radices = (self.operation.values_of(0), *self.radices[1:])
        if math.prod(radices) > LARGEST_KEPT:
            return None
        places = [torch.arange(radix) + self.operation.lowest(k) for k, radix in enumerate(radices)]
        grid = torch.meshgrid(*places, indexing="ij")
        return self._computed([operand.flatten() for operand in grid])

    def _computed(self, operands: Sequence[Numbers]) -> Int64[Tensor, "B *T"]:
        match self.operation.kind, self.operation.name:
            case "formula", _:
                assert self.operation.expression is not None
                found: Tensor = evaluate(self.operation.expression.root, operands, self.modulus)
                return found
            case "permutations", name:
                a, b = operands
                return torch.tensor(products(name), device=a.device)[a, b]
            case "sequence", "sort":
                return torch.stack(list(operands), -1).sort(-1).values
            case "sequence", "reverse":
                return torch.stack(list(operands), -1).flip(-1)
            case "sequence", _:
                return torch.stack(list(operands), -1)
            case _:
                assert self.own is not None
                return self.own(list(operands), self.modulus) % self.modulus

    def _tokens(
        self, operands: Sequence[Numbers], result: Int64[Tensor, "B *R"]
    ) -> tuple[Int64[Tensor, "B S"], Int64[Tensor, "B *T"]]:
        """What the network sees, and the classes it has to answer; without an axis T where T is 1."""
        form = self.form
        like = operands[0]
        prompt = [
            operands[-1 - part] + form.first_element if part < 0 else torch.full_like(like, part)
            for part in form.prompt
        ]
        elements = [result] if result.ndim == 1 else list(result.unbind(-1))
        spelt = [element + form.first_element for element in elements]
        classes = spelt if form.classes == "vocabulary" else elements
        if form.end is not None:
            end = form.end if form.classes == "vocabulary" else form.num_classes - 1
            classes = [*classes, torch.full_like(like, end)]
        inputs = torch.stack([*prompt, *spelt[: form.answer_length - 1]], dim=-1)
        return inputs, classes[0] if len(classes) == 1 else torch.stack(classes, dim=-1)

    @cached_property
    def _halves(self) -> tuple[int, int]:
        """The number of equations as a product of two, as equal as the operands' values allow."""
        parts = [
            (math.prod(self.radices[:cut]), math.prod(self.radices[cut:]))
            for cut in range(1, len(self.radices))
        ]
        return min(parts, key=max)


def letters(count: int) -> list[str]:
    """What the operands are called among the factors."""
    return [chr(ord("a") + place) if place < 26 else f"operand_{place + 1}" for place in range(count)]
