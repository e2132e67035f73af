"""The table of answers, its split, and the tokens."""

import pytest
import torch

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.tasks.arithmetic import Arithmetic

KEY = random.key(0, "task")


def task(operation: str = "+", modulus: int = 7, train_size: int = 20) -> Arithmetic:
    size = modulus * (modulus - 1 if operation == "/" else modulus)
    return Arithmetic(operation=operation, modulus=modulus, table_size=size, train_size=train_size)


def whole_table(made: Arithmetic) -> Batch:
    return made.batch(torch.arange(made.table_size), {}, KEY)


@pytest.mark.parametrize(
    ("operation", "holds"),
    [
        ("+", lambda a, b, c, p: (a + b) % p == c),
        ("-", lambda a, b, c, p: (a - b) % p == c),
        ("*", lambda a, b, c, p: (a * b) % p == c),
        ("/", lambda a, b, c, p: (c * b) % p == a and b != 0),
    ],
)
@pytest.mark.parametrize("modulus", [2, 7, 13])
def test_every_answer(operation: str, holds: object, modulus: int) -> None:
    batch = whole_table(task(operation, modulus, 1))
    rows = list(zip(*batch.inputs.T.tolist(), batch.targets.tolist(), strict=True))
    assert all(holds(a, b, c, modulus) for a, b, _, c in rows)  # type: ignore[operator]
    assert all(equals == modulus for _, _, equals, _ in rows)
    assert len({(a, b) for a, b, _, _ in rows}) == modulus * (modulus - (operation == "/"))
    assert batch.factors["a"].tolist() == [a for a, _, _, _ in rows]
    assert (batch.weight == 1).all()


def test_splits_partition_the_table_and_depend_on_the_split_seed_alone() -> None:
    made, fields = task(train_size=20), {"split_seed": torch.tensor(3), "seed": torch.tensor(0)}
    train, val = made.index("train", fields), made.index("val", fields)
    assert (len(train), len(val)) == (made.size("train"), made.size("val")) == (20, 29)
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(49))
    assert torch.equal(train, made.index("train", fields | {"seed": torch.tensor(9)}))
    assert not torch.equal(train, made.index("train", fields | {"split_seed": torch.tensor(4)}))


def test_training_sets_of_growing_fraction_are_nested() -> None:
    fields = {"split_seed": torch.tensor(1)}
    small, large = (task(train_size=size).index("train", fields).tolist() for size in (10, 30))
    assert large[:10] == small


def test_batches_are_the_same_under_vmap() -> None:
    made = task("/", 5, 8)
    index = torch.tensor([[0, 3, 19], [7, 7, 1]])
    mapped = torch.vmap(lambda i: made.batch(i, {}, KEY))(index)
    for row in range(2):
        alone = made.batch(index[row], {}, KEY)
        assert torch.equal(mapped.inputs[row], alone.inputs) and torch.equal(
            mapped.targets[row], alone.targets
        )
