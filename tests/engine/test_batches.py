"""Batch sizes as a number, a fraction or all; what becomes of the remainder of an epoch."""

import pytest
import torch

from epochal.core.values.batches import examples_per_update, updates_per_epoch
from epochal.core.values.errors import UserError
from epochal.engine.order import BatchOrder
from tests.engine.programs import program


@pytest.mark.parametrize(
    ("batch_size", "expected"), [("full", None), (7, 7), (0.25, 25), (0.333, 33), (0.001, 1), (100, 100)]
)
def test_examples_per_update(batch_size: float, expected: int | None) -> None:
    assert examples_per_update(batch_size, 100) == expected


@pytest.mark.parametrize(
    ("size", "expected"), [(4704, 512), (1024, 512), (1023, 512), (1022, 511), (97, 49), (1, 1)]
)
def test_the_published_batch_is_512_or_half_of_a_small_set(size: int, expected: int) -> None:
    assert examples_per_update("auto", size) == expected


def test_a_batch_larger_than_the_set_is_refused() -> None:
    with pytest.raises(UserError, match=r"batch_size=101 exceeds the 100 training examples"):
        examples_per_update(101, 100)


@pytest.mark.parametrize("batch_size", [16, 0.3])
@pytest.mark.parametrize("last_batch", ["drop", "keep"])
def test_an_epoch_shows_every_example_once_and_keeps_or_drops_the_rest(
    batch_size: float, last_batch: str
) -> None:
    made = program(seed="0:2", batch_size=batch_size, last_batch=last_batch)
    size = made.task.size("train")
    count = made.batch_size
    assert count is not None and size % count, "the case needs a remainder"
    order, epoch = BatchOrder(made), made.steps_per_epoch
    assert epoch == updates_per_epoch(count, size, last_batch) == size // count + (last_batch == "keep")  # type: ignore[arg-type]
    for first in (0, epoch):
        seen = [order.indices(step) for step in range(first, first + epoch)]
        assert [batch.shape[1] for batch in seen[:-1]] == [count] * (epoch - 1)
        assert seen[-1].shape[1] == (size % count if last_batch == "keep" else count)
        for member in torch.cat(seen, dim=1):
            assert (
                len(member.unique()) == len(member) == (size if last_batch == "keep" else size - size % count)
            )
    assert not torch.equal(order.indices(0), order.indices(epoch))
