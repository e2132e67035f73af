"""The keyed order: a bijection, and as uniform as a shuffle."""

import math

import pytest
import torch

from epochal.core.tensors import random
from epochal.core.tensors.bijection import shuffled


@pytest.mark.parametrize("sizes", [(1, 1), (1, 7), (7, 1), (2, 2), (3, 5), (31, 31), (97, 13), (64, 128)])
def test_it_is_a_bijection(sizes: tuple[int, int]) -> None:
    total = math.prod(sizes)
    for seed in range(5):
        found = shuffled(random.key(seed, "split"), torch.arange(total), sizes)
        assert sorted(found.tolist()) == list(range(total))


@pytest.mark.parametrize("sizes", [(2**20, 2**20), (31**2, 31**3), (97**4, 97**4), (2**30, 2**31)])
def test_large_domains_have_no_collisions_and_stay_inside(sizes: tuple[int, int]) -> None:
    total = math.prod(sizes)
    places = torch.cat([torch.arange(50_000), total - 1 - torch.arange(50_000)])
    found = shuffled(random.key(1, "split"), places, sizes)
    assert len(found.unique()) == 100_000
    assert int(found.min()) >= 0 and int(found.max()) < total
    assert abs(float(found.double().mean()) / total - 0.5) < 5 / math.sqrt(12 * 100_000)


def test_every_number_stands_at_every_place_equally_often() -> None:
    keys, sizes = 20_000, (5, 6)
    found = shuffled(random.key(torch.arange(keys)[:, None], "split"), torch.arange(30)[None], sizes)
    for place in range(30):
        counts = torch.bincount(found[:, place], minlength=30).double()
        assert float(((counts - keys / 30) ** 2).sum() / (keys / 30)) < 29 + 6 * math.sqrt(2 * 29)
    pairs = torch.bincount(found[:, 0] * 30 + found[:, 1], minlength=900).double()
    there = pairs[pairs > 0]
    assert len(there) == 870, "every ordered pair of different numbers"
    assert float(((there - keys / 870) ** 2).sum() / (keys / 870)) < 869 + 6 * math.sqrt(2 * 869)


def test_neighbours_are_strangers() -> None:
    """No correlation of what stands at consecutive places, nor between keys."""
    sizes = (961, 29_791)
    a, b = (
        shuffled(random.key(seed, "split"), torch.arange(40_000), sizes).double() / math.prod(sizes) - 0.5
        for seed in (0, 1)
    )
    for x, y in ((a[1:], a[:-1]), (a, b)):
        assert abs(float((x * y).mean()) * 12) < 5 / math.sqrt(40_000)


def test_it_works_over_members() -> None:
    keys = random.key(torch.arange(3), "split")
    together = torch.vmap(lambda key: shuffled(key, torch.arange(20), (31, 961)))(keys)
    for member in range(3):
        assert torch.equal(together[member], shuffled(keys[member], torch.arange(20), (31, 961)))
