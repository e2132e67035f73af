"""Images with a shortcut: how often the cue agrees, what it changes, noise, environments, packs."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.task import Fields
from epochal.core.values.errors import UserError
from epochal.tasks.datasets.image_set import Examples, ImageSet
from epochal.tasks.images import Images
from epochal.tasks.shortcuts.cue import Cue
from epochal.tasks.shortcuts.cued_images import CuedImages
from epochal.tasks.shortcuts.environments import Environments, equal_count_bins

KEY = random.key(0, "task", 3)
SIZES = {"train": 3000, "val": 1000, "test": 1000}
KINDS = ("patch", "tint", "texture")


def images(classes: int = 2, *, n_train: int | None = None, channels: int = 3, **options: Any) -> Images:
    """Nearly grey noise of 8 x 6 pixels, each as bright as it likes."""
    drawn = np.random.default_rng(1)

    def part(n: int) -> Examples:
        level = drawn.integers(0, 200, (n, 1, 1, 1))
        pixels = level + drawn.integers(0, 50, (n, 8, 6, channels))
        return Examples(pixels.astype(np.uint8), drawn.integers(0, classes, n))

    made = ImageSet(
        name="made up", splits={name: part(n) for name, n in SIZES.items()},
        class_names=tuple(map(str, range(classes))),
    )  # fmt: skip
    return Images(
        image_set=made, dtype=torch.float64, device=torch.device("cpu"), n_train=n_train,
        normalization="half", **options,
    )  # fmt: skip


def cued(
    kind: str = "patch", classes: int = 2, environments: str = "brightness", count: int = 3, **options: Any
) -> CuedImages:
    of_cue: dict[str, Any] = {
        name: options.pop(name) for name in ("size", "place", "colors", "strength") if name in options
    }
    clean = images(classes, **options)
    given: dict[str, Any] = {"kind": kind, "size": 2, **of_cue}
    cue = Cue(
        num_codes=classes, image_shape=clean.image_shape, dtype=clean.dtype, device=clean.device, **given
    )
    kinds: dict[str, Any] = {"kind": environments, "count": count}
    return CuedImages(images=clean, cue=cue, environments=Environments(**kinds))


def fields(rho: float = 0.8, noise: float = 0.0, *, seed: int = 0, spread: float = 0.0) -> Fields:
    numbers = {"rho": rho, "label_noise": noise, "rho_spread": spread}
    return {
        "split_seed": torch.tensor(7),
        "spurious_seed": torch.tensor(seed),
        **{name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()},
    }


def split(task: CuedImages, name: str = "train", given: Fields | None = None) -> Batch:
    given = fields() if given is None else given
    return task.batch(task.index(name, given), given, KEY)  # type: ignore[arg-type]


def assert_share(flags: Tensor, probability: float) -> None:
    """Within five standard errors: one of two million draws is not."""
    error = (probability * (1 - probability) / len(flags)) ** 0.5
    assert abs(flags.double().mean().item() - probability) <= 5 * error


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_the_cue_agrees_with_the_target_as_often_as_rho_says(classes: int, rho: float, noise: float) -> None:
    task = cued(classes=classes)
    for name in SIZES:
        batch = split(task, name, fields(rho, noise))
        factors = batch.factors
        assert torch.equal(factors["is_aligned"], factors["code"] == batch.targets)
        assert torch.equal(factors["is_noisy"], factors["label"] != batch.targets)
        assert torch.equal(factors["group"], 2 * batch.targets + factors["is_aligned"])
        assert_share(factors["is_aligned"], rho)
        assert_share(factors["is_noisy"], noise)
        for of_class in range(classes):  # whatever the target is
            assert_share(factors["is_aligned"][batch.targets == of_class], rho)
        apart = (factors["code"] - batch.targets)[~factors["is_aligned"]] % classes
        for distance in range(1, classes):  # a disagreeing code is any other
            if len(apart):
                assert_share(apart == distance, 1 / (classes - 1))


def test_decisions_are_an_examples_own() -> None:
    """The same whatever the size of the training set and the seed of the split; other splits' are others."""
    given = fields(0.6, 0.3)
    whole, part = cued(), cued(n_train=200)
    index = part.index("train", given)
    for name, value in part.batch(index, given, KEY).factors.items():
        assert torch.equal(whole.batch(index, given, KEY).factors[name], value), name
    first = [split(whole, name, given).factors["is_aligned"][:900] for name in SIZES]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        agree = first[one] == first[other]
        assert_share(agree, 0.6**2 + 0.4**2)


def test_another_seed_of_the_stream_decides_anew() -> None:
    task = cued()
    one, other = (split(task, given=fields(0.5, 0.5, seed=seed)) for seed in (0, 1))
    for name in ("is_aligned", "is_noisy"):
        assert_share(one.factors[name] == other.factors[name], 0.5)


def test_noise_does_not_depend_on_rho_and_grows_with_its_share() -> None:
    task = cued(classes=4)
    one, other = (split(task, given=fields(rho, 0.2)) for rho in (0.1, 0.9))
    assert torch.equal(one.targets, other.targets)
    more = split(task, given=fields(0.9, 0.4))
    assert more.factors["is_noisy"][one.factors["is_noisy"]].all()
    assert torch.equal(more.targets[one.factors["is_noisy"]], one.targets[one.factors["is_noisy"]])
    agreement = split(task, given=fields(0.9, 0.0)).factors["is_aligned"]
    assert torch.equal(agreement, other.factors["is_aligned"])


def test_the_patch_is_the_sources() -> None:
    """Top left, after normalisation: code 0 is (+1, -1, -1), code 1 is (-1, -1, +1), nothing else changes."""
    task = cued(size=4)
    batch = split(task)
    clean = task.images.inputs_of(batch.factors["index"])
    for code, color in ((0, (1.0, -1.0, -1.0)), (1, (-1.0, -1.0, 1.0))):
        patch = batch.inputs[batch.factors["code"] == code][:, :, :4, :4]
        assert (patch == torch.tensor(color, dtype=torch.float64)[:, None, None]).all()
    outside = torch.ones(8, 6, dtype=torch.bool)
    outside[:4, :4] = False
    assert torch.equal(batch.inputs[:, :, outside], clean[:, :, outside])


@pytest.mark.parametrize(
    ("place", "corner"),
    [("top_left", (0, 0)), ("top_right", (0, 4)), ("bottom_left", (6, 0)), ("bottom_right", (6, 4)),
     ("center", (3, 2))],
)  # fmt: skip
def test_the_patch_lies_where_it_is_put(place: str, corner: tuple[int, int]) -> None:
    rows, columns = cued(place=place).cue_mask().nonzero().T
    assert sorted(set(rows.tolist())) == [corner[0], corner[0] + 1]
    assert sorted(set(columns.tolist())) == [corner[1], corner[1] + 1] and len(rows) == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [2, 3])
def test_restamping_changes_the_masks_pixels_and_nothing_else(kind: str, classes: int) -> None:
    task = cued(kind, classes)
    batch = split(task)
    same = task.restamped(batch, batch.factors["code"])
    assert torch.equal(same.inputs, batch.inputs)
    turned = task.restamped(batch, (batch.factors["code"] + 1) % classes)
    mask = task.cue_mask()
    assert torch.equal(turned.inputs[:, :, ~mask], batch.inputs[:, :, ~mask])
    assert (turned.inputs != batch.inputs).any(1).any(0)[mask].double().mean() > 0.7
    assert torch.equal(turned.factors["code"], (batch.factors["code"] + 1) % classes)
    assert torch.equal(turned.factors["is_aligned"], turned.factors["code"] == batch.targets)
    bare = task.restamped(batch, None)
    assert torch.equal(bare.inputs, task.images.inputs_of(batch.factors["index"]))
    assert not {"code", "is_aligned", "group"} & bare.factors.keys()


def test_restamping_works_over_members() -> None:
    task = cued("texture")
    index = task.index("val", fields())[:20]
    codes = torch.stack([torch.zeros(20, dtype=torch.int64), torch.ones(20, dtype=torch.int64)])

    def of_member(code: Tensor) -> Tensor:
        batch = task.batch(index, fields(), KEY)
        return task.restamped(batch, code).inputs

    together = torch.vmap(of_member)(codes)
    assert all(torch.equal(together[m], of_member(codes[m])) for m in range(2))


@pytest.mark.parametrize("kind", KINDS)
def test_every_code_looks_different(kind: str) -> None:
    task = cued(kind, classes=5)
    batch = split(task)
    one = batch._replace(
        inputs=batch.inputs[:1], targets=batch.targets[:1], factors={"index": torch.tensor([0])}
    )
    looks = [task.restamped(one, torch.tensor([code])).inputs for code in range(5)]
    for first in range(5):
        for second in range(first):
            assert (looks[first] - looks[second]).abs().amax() > 0.5


def test_stripes_have_their_period_and_direction() -> None:
    task = cued("texture", size=4, strength=0.5)
    batch = split(task)
    for code, axis in ((0, 1), (1, 0)):  # vertical stripes are constant down a column
        chosen = torch.full_like(batch.targets, code)
        wave = task.restamped(batch, chosen).inputs - task.images.inputs_of(batch.factors["index"])
        along = wave[0, 0].select(1 - axis, 0)
        expected = 0.5 * torch.sin(2 * torch.pi * torch.arange(len(along), dtype=torch.float64) / 4)
        torch.testing.assert_close(along, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(wave[0, 0], along.expand(8, 6) if axis else along[:, None].expand(8, 6),
                                   rtol=0, atol=1e-12)  # fmt: skip


def test_brightness_makes_bins_of_equal_count_in_every_split() -> None:
    task = cued(count=3)
    for name, total in SIZES.items():
        batch = split(task, name)
        environment = batch.factors["environment"]
        counts = environment.bincount(minlength=3)
        assert counts.sum() == total and counts.max() - counts.min() <= 1
        brightness = task.images.inputs_of(batch.factors["index"]).mean((1, 2, 3))
        for e in range(2):
            assert brightness[environment == e].max() <= brightness[environment == e + 1].min() + 1e-9


def test_equal_counts_of_equal_values() -> None:
    assert equal_count_bins(torch.zeros(7, dtype=torch.int64), 3).tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert equal_count_bins(torch.tensor([5, 1, 3, 4]), 2).tolist() == [1, 0, 0, 1]


def test_random_environments_are_even_and_tell_nothing() -> None:
    batch = split(cued(environments="random", count=4), given=fields(0.7))
    for e in range(4):
        mine = batch.factors["environment"] == e
        assert_share(mine, 1 / 4)
        assert_share(batch.factors["is_aligned"][mine], 0.7)


def test_environments_of_rho_have_their_own() -> None:
    batch = split(cued(environments="rho", count=3), given=fields(0.7, spread=0.2))
    for e, rho in enumerate((0.5, 0.7, 0.9)):
        assert_share(batch.factors["is_aligned"][batch.factors["environment"] == e], rho)


def test_a_patch_flip_turns_the_cue_in_environment_one() -> None:
    """And is the same coin in environment 0: the cue tells the label in each, and in neither the same."""
    given = fields(0.9)
    flipped, plain = (
        split(cued(environments=kind, count=2), given=given) for kind in ("patch_flip", "random")
    )
    environment = flipped.factors["environment"]
    assert_share(environment == 1, 0.5)
    assert torch.equal(environment, plain.factors["environment"])
    turned = flipped.factors["is_aligned"] != plain.factors["is_aligned"]
    assert torch.equal(turned, environment == 1)
    assert_share(flipped.factors["is_aligned"][environment == 1], 0.1)


def test_members_of_a_pack_have_their_own_rho_noise_and_seed() -> None:
    task = cued(classes=3)
    members = [fields(0.2, 0.0, seed=1), fields(0.9, 0.4, seed=1), fields(0.9, 0.4, seed=2)]
    index = task.index("train", members[0])
    stacked = {name: torch.stack([one[name] for one in members]) for name in members[0]}

    def of_member(own: Fields) -> tuple[Tensor, ...]:
        batch = task.batch(index, own, KEY)
        return batch.inputs, batch.targets, batch.factors["code"], batch.factors["environment"]

    together = torch.vmap(of_member)(stacked)
    for member, own in enumerate(members):
        for mapped, alone in zip(together, of_member(own), strict=True):
            assert torch.equal(mapped[member], alone)


def test_without_a_cue_inputs_are_the_images() -> None:
    clean = images()
    task = CuedImages(images=clean, cue=None, environments=Environments(kind="brightness", count=3))
    batch = split(task, given=fields(0.8, 0.3))
    assert torch.equal(batch.inputs, clean.batch(batch.factors["index"], fields(), KEY).inputs)
    assert set(batch.factors) == {"label", "index", "is_noisy", "environment"}
    assert (task.cue_kind, task.num_codes, task.num_groups) == ("none", 0, 0)
    for ask in (task.cue_mask, lambda: task.restamped(batch, None)):
        with pytest.raises(UserError, match="it needs cue=patch, tint or texture"):
            ask()


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (lambda: cued(size=7), "patch_size=7 is larger than the images, which are 8 x 6"),
        (
            lambda: cued(channels=1),
            "cue=patch is red and the images are grey: give channels=rgb, or cue_colors",
        ),
        (lambda: cued("texture", size=1), "patch_size=1: stripes of cue=texture need a period of 2"),
        (
            lambda: cued(classes=13),
            "cue=patch has 12 colours for 13 classes; give one per class, or cue=texture",
        ),
        (lambda: cued("tint", classes=3, colors=("red", "lime")), "cue_colors=red,lime has 2 colours for 3"),
    ],
)
def test_a_cue_that_does_not_fit_is_refused(made: Any, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        made()


def test_grey_images_take_grey_colours_and_stripes() -> None:
    batch = split(cued(channels=1, colors=("black", "white")))
    assert set(batch.inputs[:, 0, 0, 0].unique().tolist()) == {-1.0, 1.0}
    assert split(cued("texture", channels=1)).inputs.shape[1] == 1
