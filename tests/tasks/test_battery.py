"""What every task must pass: splits, purity, order by seed, batches by index, members apart, true factors."""

import itertools
import pkgutil
from collections.abc import Callable
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import Tensor

from epochal import tasks
from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.task import Fields, Split, Task
from epochal.tasks.datasets.image_set import Examples, ImageSet
from epochal.tasks.images import Images
from epochal.tasks.shortcuts.cue import Cue
from epochal.tasks.shortcuts.cued_images import CuedImages
from epochal.tasks.shortcuts.environments import Environments
from tests.tasks.made import equations

SPLITS: tuple[Split, ...] = ("train", "val", "test")
KEY = random.key(0, "task", 3)
SHORTCUT = {
    "spurious_seed": torch.tensor(0),
    **{
        name: torch.tensor(value, dtype=torch.float64)
        for name, value in {"rho": 0.6, "rho_spread": 0.3, "label_noise": 0.2}.items()
    },
}


def images(splits: dict[str, int], **options: object) -> Images:
    drawn = np.random.default_rng(1)
    named = {
        split: Examples(drawn.integers(0, 256, (n, 5, 4, 3), dtype=np.uint8), drawn.integers(0, 3, n))
        for split, n in splits.items()
    }
    made = ImageSet(name="made up", splits=named, class_names=("a", "b", "c"))
    return Images(image_set=made, dtype=torch.float64, device=torch.device("cpu"), **options)  # type: ignore[arg-type]


def cued(kind: str, environments: str, **options: object) -> CuedImages:
    clean = images({"train": 20, "val": 7, "test": 9}, n_train=12, **options)
    cue = Cue(
        kind=kind,  # type: ignore[arg-type]
        num_codes=3,
        image_shape=clean.image_shape,
        dtype=clean.dtype,
        device=clean.device,
        size=2,
    )
    kinds = Environments(kind=environments, count=2)  # type: ignore[arg-type]
    return CuedImages(images=clean, cue=cue, environments=kinds)


def noisy_labels(batch: Batch) -> Tensor:
    """The label where the target is not noisy; a noisy one is any other."""
    is_right = batch.targets == batch.factors["label"]
    assert torch.equal(is_right, ~batch.factors["is_noisy"])
    assert torch.equal(batch.factors["code"] == batch.targets, batch.factors["is_aligned"])
    return torch.where(is_right, batch.factors["label"], batch.targets)


def answers(batch: Batch, operation: str) -> Tensor:
    """``c`` with ``a op b = c`` by definition; for division ``c b = a``, found by search."""
    a, b, c = batch.factors["a"], batch.factors["b"], torch.arange(7)
    if operation == "/":
        return ((c[None] * b[:, None]) % 7 == a[:, None]).long().argmax(1)
    return {"+": a + b, "-": a - b, "*": a * b}[operation] % 7


def lists(batch: Batch) -> Tensor:
    return torch.stack([batch.factors["a"], batch.factors["b"]], 1)


def s5(batch: Batch) -> Tensor:
    elements = list(itertools.permutations(range(5)))
    pairs = zip(batch.factors["a"].tolist(), batch.factors["b"].tolist(), strict=True)
    return torch.tensor([elements.index(tuple(elements[b][i] for i in elements[a])) for a, b in pairs])


def parity(batch: Batch) -> Tensor:
    """Of all bits, since which count is no factor."""
    bits = [value for name, value in batch.factors.items() if name != "noisy"]
    return torch.stack(bits).sum(0) % 2


Truth = Callable[[Batch], Tensor]
EXAMPLES: dict[str, tuple[Task, Truth]] = {
    **{f"a {o} b": (equations(o), lambda batch, o=o: answers(batch, o)) for o in "+-*/"},  # type: ignore[misc]
    "formula": (
        equations("x^3+xy^2+y", tokens="infix"),
        lambda batch: (
            (batch.factors["a"] ** 3 + batch.factors["a"] * batch.factors["b"] ** 2 + batch.factors["b"]) % 7
        ),
    ),
    "mixed": (
        equations("+*", tokens="equation", vocabulary="openai"),
        lambda batch: torch.where(batch.factors["a"] % 2 == 0, answers(batch, "+"), answers(batch, "*")),
    ),
    "five operands": (
        equations("+", 31, num_operands=5, n_train=40, n_val=30),
        lambda batch: torch.stack([batch.factors[name] for name in "abcde"]).sum(0) % 31,
    ),
    "limited operand": (equations("+", operand_fraction=0.5, n_train=14), lambda batch: answers(batch, "+")),
    "permutations": (equations("s5", n_train=60, n_val=50), s5),
    "sort": (equations("sort"), lambda batch: lists(batch).sort(1).values),
    "reverse": (equations("reverse"), lambda batch: lists(batch).flip(1)),
    "copy": (equations("copy"), lists),
    "result and end": (
        equations("+", answer="result_and_end", tokens="equation"),
        lambda batch: torch.stack([answers(batch, "+"), torch.full_like(batch.factors["a"], 7)], 1),
    ),
    "parity": (equations("parity", num_operands=40, relevant_operands=40, n_train=40, n_val=30), parity),
    "images": (images({"train": 30, "val": 7, "test": 9}), lambda batch: batch.factors["label"]),
    "images, augmented": (
        images({"train": 20, "test": 6}, n_train=12, crop_padding=1, flip=True),
        lambda batch: batch.factors["label"],
    ),
    "images, held out": (images({"train": 40}, n_train=25), lambda batch: batch.factors["label"]),
    "patch": (cued("patch", "brightness"), noisy_labels),
    "tint, augmented": (cued("tint", "patch_flip", crop_padding=1, flip=True), noisy_labels),
    "texture": (cued("texture", "rho"), noisy_labels),
}
"""A task, and its targets from its factors; a new one is added here and to no test."""
NAMES = list(EXAMPLES)
AUGMENTED = {"images, augmented", "tint, augmented"}


@pytest.fixture(params=NAMES)
def task(request: pytest.FixtureRequest) -> Task:
    return EXAMPLES[request.param][0]


def fields(seed: int = 3) -> Fields:
    return {"split_seed": torch.tensor(seed), "seed": torch.tensor(0), **SHORTCUT}


def test_every_task_is_in_the_battery() -> None:
    written = {
        kind.__name__
        for info in pkgutil.walk_packages(tasks.__path__, "epochal.tasks.")
        for kind in vars(import_module(info.name)).values()
        if isinstance(kind, type) and hasattr(kind, "batch") and kind.__module__.startswith("epochal.tasks.")
    }
    assert written == {type(task).__name__ for task, _ in EXAMPLES.values()}


def test_it_keeps_the_contract(task: Task) -> None:
    assert isinstance(task, Task)
    assert task.num_classes > 1
    for split in SPLITS:
        index = task.index(split, fields())
        assert index.dtype == torch.int64
        assert len(index) == task.size(split)
        batch = task.batch(index, fields(), KEY)
        parts = (batch.inputs, batch.targets, batch.weight, *batch.factors.values())
        assert all(len(part) == len(index) for part in parts)
        assert ((batch.targets >= 0) & (batch.targets < task.num_classes)).all()
        assert batch.factors and (batch.weight == 1).all()


def test_splits_are_disjoint_and_the_training_set_has_no_example_twice(task: Task) -> None:
    train, val = (set(task.index(split, fields()).tolist()) for split in ("train", "val"))
    assert len(train) == task.size("train") and len(val) == task.size("val")
    assert not train & val
    assert not train & set(task.index("test", fields()).tolist())


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("a ")])
def test_a_table_is_split_completely(name: str) -> None:
    task = EXAMPLES[name][0]
    both = [*task.index("train", fields()).tolist(), *task.index("val", fields()).tolist()]
    assert sorted(both) == list(range(len(both))) and len(both) == (42 if "/" in name else 49)


def test_what_it_gives_is_a_function_of_what_it_gets(task: Task) -> None:
    generator = torch.random.get_rng_state()
    for split in SPLITS:
        first, second = task.index(split, fields()), task.index(split, fields())
        assert torch.equal(first, second)
        kept = first.clone()
        for training in (False, True):
            a, b = (task.batch(first, fields(), KEY, training=training) for _ in range(2))
            assert all(torch.equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))
        assert torch.equal(first, kept)
    assert torch.equal(generator, torch.random.get_rng_state())


def leaves(batch: Batch) -> list[Tensor]:
    return [batch.inputs, batch.targets, batch.weight, *batch.factors.values()]


def test_what_is_trained_on_depends_on_the_split_seed_alone(task: Task) -> None:
    given = fields()
    other_seed = {**given, "seed": torch.tensor(9)}
    assert torch.equal(task.index("train", given), task.index("train", other_seed))
    drawn = {tuple(task.index("train", fields(seed)).tolist()) for seed in range(6)}
    uses_everything = (
        isinstance(task, Images) and task.n_train is None and task.val_source != "held-out part of train"
    )
    assert len(drawn) == (1 if uses_everything else 6)


@pytest.mark.parametrize("training", [False, True])
def test_a_batch_of_a_permuted_index_is_the_permuted_batch(task: Task, training: bool) -> None:
    index = task.index("train", fields())
    order = random.permutation(random.key(5, "order"), len(index))
    whole = task.batch(index, fields(), KEY, training=training)
    permuted = task.batch(index[order], fields(), KEY, training=training)
    part = task.batch(index[4:9], fields(), KEY, training=training)
    for one, other, few in zip(leaves(whole), leaves(permuted), leaves(part), strict=True):
        assert torch.equal(one[order], other) and torch.equal(one[4:9], few)


@pytest.mark.parametrize("training", [False, True])
def test_members_get_under_vmap_what_they_get_alone(task: Task, training: bool) -> None:
    seeds = torch.tensor([3, 4, 5])

    def of_member(seed: Tensor) -> tuple[Tensor, ...]:
        own = {"split_seed": seed, "seed": seed, **SHORTCUT, "spurious_seed": seed}
        index = task.index("train", own)
        return index, *leaves(task.batch(index[:6], own, random.key(seed, "task"), training=training))

    together = torch.vmap(of_member)(seeds)
    for member, seed in enumerate(seeds):
        for mapped, alone in zip(together, of_member(seed), strict=True):
            torch.testing.assert_close(mapped[member], alone, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_augmentation_is_for_training_and_changes_inputs_only(name: str) -> None:
    task = EXAMPLES[name][0]
    index = task.index("train", fields())
    later = random.key(0, "task", 4)
    plain, plain_later = (task.batch(index, fields(), key) for key in (KEY, later))
    assert torch.equal(plain.inputs, plain_later.inputs)
    trained, trained_later = (task.batch(index, fields(), key, training=True) for key in (KEY, later))
    for one, other in zip(leaves(plain)[1:], leaves(trained)[1:], strict=True):
        assert torch.equal(one, other)
    assert torch.equal(trained.inputs, plain.inputs) == (name not in AUGMENTED)
    assert torch.equal(trained.inputs, trained_later.inputs) == (name not in AUGMENTED)


@pytest.mark.parametrize("name", NAMES)
def test_targets_follow_from_factors(name: str) -> None:
    task, truth = EXAMPLES[name]
    for split in SPLITS:
        if task.size(split):
            batch = task.batch(task.index(split, fields()), fields(), KEY)
            assert torch.equal(batch.targets, truth(batch))
