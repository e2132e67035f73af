"""Which examples a minibatch potential sees at a step: epochs in random order, own per chain or shared."""

import torch
from jaxtyping import Int64
from torch import Tensor

from epochal.core.tensors.random import Key, fold
from epochal.samplers.noise import generators


class BatchOrder:
    """``next()`` is ``[R, B]``: the examples of each row's next minibatch.

    Every epoch is a new order of all ``size`` examples; a remainder smaller than a batch is left out of it.
    Rows with the same number see the same batches: all with the same number share them.
    """

    def __init__(self, key: Key, rows: list[int], *, size: int, batch_size: int) -> None:
        assert 1 <= batch_size <= size, f"{batch_size} of {size}"
        distinct = sorted(set(rows))
        self._generators = generators(fold(key, "batches"), distinct, torch.device("cpu"))
        self._copies = None if rows == distinct else [distinct.index(row) for row in rows]
        self._size, self._batch_size = size, batch_size
        self._at = size
        self._order = torch.empty(0, 0, dtype=torch.int64)

    def next(self) -> Int64[Tensor, "R B"]:
        if self._at + self._batch_size > self._size:
            drawn = [torch.randperm(self._size, generator=generator) for generator in self._generators]
            order = torch.stack(drawn)
            self._order = order if self._copies is None else order[self._copies]
            self._at = 0
        batch = self._order[:, self._at : self._at + self._batch_size]
        self._at += self._batch_size
        return batch
