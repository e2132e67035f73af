"""Images as a task: splits, normalisation, crop and flip, size and channels, and members together."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.task import Task
from epochal.core.values.errors import UserError
from epochal.tasks.datasets.image_set import Examples, ImageSet
from epochal.tasks.datasets.npz import load_npz
from epochal.tasks.images import Images

DRAWN = np.random.default_rng(0)
FIELDS = {"split_seed": torch.tensor(3), "seed": torch.tensor(0)}
KEY = random.key(0, "task")
CPU = torch.device("cpu")


def image_set(sizes: dict[str, int], shape: tuple[int, int, int] = (5, 4, 3), classes: int = 3) -> ImageSet:
    splits = {
        split: Examples(
            DRAWN.integers(0, 256, (count, *shape), dtype=np.uint8), DRAWN.integers(0, classes, count)
        )
        for split, count in sizes.items()
    }
    return ImageSet(name="made up", splits=splits, class_names=tuple("abcdef"[:classes]))


WHOLE = image_set({"train": 30, "val": 7, "test": 9})


def task(given: ImageSet = WHOLE, **options: Any) -> Images:
    defaults: dict[str, Any] = {"dtype": torch.float64, "device": CPU}
    return Images(image_set=given, **(defaults | options))


def pixels(given: ImageSet, split: str) -> Tensor:
    """``[N, C, H, W]`` in [0, 1]."""
    return torch.from_numpy(given.splits[split].images).double().permute(0, 3, 1, 2) / 255


def test_it_is_a_task() -> None:
    made = task()
    assert isinstance(made, Task)
    assert (made.num_classes, made.image_shape, made.num_inputs) == (3, (3, 5, 4), 60)


def test_own_splits_are_read_and_the_whole_training_set_is_everybodys() -> None:
    made = task(normalization="raw")
    assert made.val_source == "val"
    for split, count in (("train", 30), ("val", 7), ("test", 9)):
        index = made.index(split, FIELDS)  # type: ignore[arg-type]
        assert len(index) == made.size(split) == count  # type: ignore[arg-type]
        batch = made.batch(index, FIELDS, KEY)
        torch.testing.assert_close(batch.inputs, pixels(WHOLE, split), rtol=1e-14, atol=1e-14)
        labels = WHOLE.splits[split].labels
        assert batch.targets.tolist() == batch.factors["label"].tolist() == labels.tolist()
        assert torch.equal(batch.factors["index"], index) and (batch.weight == 1).all()


def test_arrays_that_may_not_be_written_are_fine() -> None:
    """As files of bytes give them; torch warns about sharing such memory."""
    images, labels = np.frombuffer(bytes(range(36)), np.uint8).reshape(4, 3, 3, 1), np.zeros(4, np.int64)
    made = task(ImageSet(name="a", class_names=("a",), splits={"train": Examples(images, labels)}))
    assert made.batch(torch.arange(4), FIELDS, KEY).inputs.shape == (4, 1, 3, 3)


def test_a_set_without_val_measures_val_on_test() -> None:
    made = task(image_set({"train": 12, "test": 5}))
    assert made.val_source == "test" and made.size("val") == made.size("test") == 5
    assert torch.equal(made.index("val", FIELDS), made.index("test", FIELDS))


def test_a_set_with_training_images_only_holds_a_part_out() -> None:
    made = task(image_set({"train": 50}))
    assert made.val_source == "held-out part of train"
    assert [made.size(split) for split in ("train", "val", "test")] == [40, 10, 0]
    train, val = made.index("train", FIELDS), made.index("val", FIELDS)
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(50))
    assert len(made.index("test", FIELDS)) == 0
    other = FIELDS | {"split_seed": torch.tensor(4)}
    assert set(made.index("val", other).tolist()) != set(val.tolist())
    few = task(made.image_set, n_train=5)
    assert torch.equal(few.index("val", FIELDS), val), "the same for every n_train"
    assert few.index("train", FIELDS).tolist() == train[:5].tolist()
    with pytest.raises(UserError, match=r"n_train=41 is outside 1 to 40, .* after holding out"):
        task(made.image_set, n_train=41)


def test_training_sets_are_keyed_and_nested() -> None:
    small, large = task(n_train=10), task(n_train=20)
    chosen = small.index("train", FIELDS)
    assert large.index("train", FIELDS)[:10].tolist() == chosen.tolist() and large.size("train") == 20
    assert torch.equal(chosen, small.index("train", FIELDS | {"seed": torch.tensor(9)}))
    assert not torch.equal(chosen, small.index("train", FIELDS | {"split_seed": torch.tensor(4)}))
    assert len(set(chosen.tolist())) == 10 and max(chosen.tolist()) < 30


def test_standard_normalisation_is_that_of_the_training_images() -> None:
    made = task(n_train=5)
    mean, std = (torch.tensor(values) for values in made.statistics)
    train = pixels(WHOLE, "train")
    torch.testing.assert_close(mean.double(), train.mean((0, 2, 3)), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(std.double(), train.std((0, 2, 3), correction=0), rtol=1e-6, atol=1e-6)
    whole = task().batch(torch.arange(30), FIELDS, KEY).inputs
    torch.testing.assert_close(whole.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(whole.var((0, 2, 3), correction=0), torch.ones(3).double())


def test_given_numbers_are_used() -> None:
    made = task(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010), dtype=torch.float32)
    inputs = made.batch(torch.arange(30), FIELDS, KEY).inputs
    mean, std = (torch.tensor(v).double()[:, None, None] for v in made.statistics)
    assert inputs.dtype == torch.float32
    torch.testing.assert_close(inputs.double(), (pixels(WHOLE, "train") - mean) / std, rtol=1e-5, atol=1e-5)


def by_hand(image: Tensor, dy: int, dx: int, is_flipped: bool) -> Tensor:
    """Pad with black, cut the window, then flip."""
    padded = torch.nn.functional.pad(image, (2, 2, 2, 2))
    window = padded[:, 2 + dy : 2 + dy + image.shape[1], 2 + dx : 2 + dx + image.shape[2]]
    return window.flip(-1) if is_flipped else window


def test_every_augmented_image_is_a_window_and_all_windows_are_drawn_equally_often() -> None:
    made = task(normalization="raw", crop_padding=2, flip=True)
    # Images without black and of distinct pixels: no two windows or flips look the same.
    counts = torch.zeros(5, 5, 2)
    steps, image = 40, pixels(WHOLE, "train")
    windows = {
        (dy, dx, flip): torch.stack([by_hand(one, dy, dx, bool(flip)) for one in image])
        for dy in range(-2, 3) for dx in range(-2, 3) for flip in range(2)
    }  # fmt: skip
    for step in range(steps):
        inputs = made.batch(torch.arange(30), FIELDS, random.key(0, "step", step), training=True).inputs
        matched = torch.zeros(30)
        for (dy, dx, flip), window in windows.items():
            same = (inputs - window).abs().amax((1, 2, 3)) < 1e-12
            counts[dy + 2, dx + 2, flip] += same.sum()
            matched += same
        assert (matched == 1).all()
    expected = steps * 30 / 50
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert abs(chi_squared - 49) < 5 * math.sqrt(2 * 49)


def test_augmentation_depends_on_step_and_example_not_on_the_batch() -> None:
    made = task(crop_padding=2, flip=True)
    index = torch.arange(30)
    whole = made.batch(index, FIELDS, KEY, training=True).inputs
    assert torch.equal(made.batch(index[7:11], FIELDS, KEY, training=True).inputs, whole[7:11])
    assert torch.equal(made.batch(index.flip(0), FIELDS, KEY, training=True).inputs, whole.flip(0))
    assert not torch.equal(made.batch(index, FIELDS, random.key(0, "task", 1), training=True).inputs, whole)


def test_evaluation_sees_images_as_they_are() -> None:
    made, plain = task(crop_padding=2, flip=True), task()
    index = torch.arange(46)
    assert torch.equal(made.batch(index, FIELDS, KEY).inputs, plain.batch(index, FIELDS, KEY).inputs)
    assert torch.equal(
        plain.batch(index, FIELDS, KEY, training=True).inputs, plain.batch(index, FIELDS, KEY).inputs
    )


def bilinear(image: Tensor, height: int, width: int) -> Tensor:
    """Half-pixel centres, clamped to the edge, written out pixel by pixel."""
    old_height, old_width = image.shape[-2:]
    out = torch.empty(*image.shape[:-2], height, width, dtype=image.dtype)
    for y in range(height):
        for x in range(width):
            v = max((y + 0.5) * old_height / height - 0.5, 0.0)
            u = max((x + 0.5) * old_width / width - 0.5, 0.0)
            i, j = int(v), int(u)
            i2, j2 = min(i + 1, old_height - 1), min(j + 1, old_width - 1)
            a, b = v - i, u - j
            top = (1 - b) * image[..., i, j] + b * image[..., i, j2]
            low = (1 - b) * image[..., i2, j] + b * image[..., i2, j2]
            out[..., y, x] = (1 - a) * top + a * low
    return out


@pytest.mark.parametrize("size", [(8, 8), (3, 2), (5, 4)])
def test_resizing_is_bilinear(size: tuple[int, int]) -> None:
    made = task(size_pixels=size, normalization="raw")
    inputs = made.batch(torch.arange(30), FIELDS, KEY).inputs
    assert made.image_shape == (3, *size) and inputs.shape[1:] == (3, *size)
    torch.testing.assert_close(inputs, bilinear(pixels(WHOLE, "train"), *size), rtol=1e-12, atol=1e-12)


def test_grey_images_are_repeated() -> None:
    grey = image_set({"train": 6, "test": 2}, shape=(4, 4, 1))
    one, three = task(grey), task(grey, channels=3)
    assert one.image_shape == (1, 4, 4) and three.image_shape == (3, 4, 4)
    index = torch.arange(8)
    inputs = three.batch(index, FIELDS, KEY).inputs
    assert inputs.is_contiguous()
    for channel in range(3):
        assert torch.equal(inputs[:, channel], one.batch(index, FIELDS, KEY).inputs[:, 0])


@pytest.mark.parametrize(
    ("build", "line"),
    [
        (lambda: task(n_train=31), "n_train=31 is outside 1 to 30, the training images of made up"),
        (lambda: task(n_train=0), "n_train=0 is outside 1 to 30"),
        (lambda: task(channels=1), "channels=1 from the 3 of made up"),
        (lambda: task(crop_padding=-1), "crop_padding=-1 is negative"),
        (lambda: task(size_pixels=(0, 4)), "at least 1"),
        (lambda: task(mean=(0.5,)), "mean has 1 values, made up has 3 channels"),
        (lambda: task(std=(0.5, 0.5, 0.0)), "is not positive"),
        (lambda: task(held_out_fraction=1.5), "outside"),
        (
            lambda: task(ImageSet(
                name="black", class_names=("a",),
                splits={"train": Examples(np.zeros((2, 3, 3, 1), np.uint8), np.zeros(2, np.int64))},
            )),
            "std=.* of black is not positive; give std=",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(build: Callable[[], Images], line: str) -> None:
    with pytest.raises(UserError, match=line):
        build()


@pytest.mark.parametrize("given", [WHOLE, image_set({"train": 40}, shape=(4, 4, 1))], ids=["own", "held out"])
@pytest.mark.parametrize("n_train", [None, 6])
def test_members_get_under_vmap_what_they_get_alone(given: ImageSet, n_train: int | None) -> None:
    made = task(given, n_train=n_train, crop_padding=1, flip=True, size_pixels=(6, 6), dtype=torch.float32)
    seeds = torch.tensor([3, 4, 5])

    def of_member(seed: Tensor) -> tuple[Tensor, ...]:
        fields = {"split_seed": seed}
        train, val = made.index("train", fields), made.index("val", fields)
        batch = made.batch(train[:6], fields, random.key(seed, "step"), training=True)
        return train, val, batch.inputs, batch.targets, made.batch(val, fields, KEY).inputs

    together = torch.vmap(of_member)(seeds)
    for member, seed in enumerate(seeds):
        for mapped, alone in zip(together, of_member(seed), strict=True):
            assert torch.equal(mapped[member], alone)
    assert not torch.equal(together[2][0], together[2][1])


def test_real_photographs_have_the_published_statistics() -> None:
    folder = os.environ.get("EPOCHAL_DATA")
    path = Path(folder or "") / "cifar10_first1000.npz"
    if not folder or not path.exists():
        pytest.skip(f"put {path.name} into a folder that EPOCHAL_DATA names to run this")
    made = task(load_npz(path))
    assert made.val_source == "test" and made.image_shape == (3, 32, 32)
    published = torch.tensor([[0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]])
    torch.testing.assert_close(torch.tensor(made.statistics), published, rtol=0, atol=5e-3)
