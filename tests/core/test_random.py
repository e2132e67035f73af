"""Counter-based randomness: right distributions, independent streams, pure under vmap."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch

from epochal.core.tensors import random

N = 200_000


def sample_keys() -> dict[str, torch.Tensor]:
    """Keys that differ in one thing only from the first one."""
    return {
        "base": random.key(0, "order", 0),
        "seed": random.key(1, "order", 0),
        "stream": random.key(0, "dropout", 0),
        "step": random.key(0, "order", 1),
        "folded": random.fold(random.key(0, "order", 0), "layer.0"),
        "folded number": random.fold(random.key(0, "order", 0), 1),
    }


def test_bits_agree_with_an_implementation_in_whole_numbers() -> None:
    """Python's unbounded integers, reduced modulo 2^64, say what the wrapped tensor arithmetic must give."""
    mask = 2**64 - 1

    def mix(word: int) -> int:
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & mask
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & mask
        return word ^ (word >> 31)

    key = random.key(7, "init", 3)
    start = int(key) & mask
    expected = [mix((start + (k + 1) * 0x9E3779B97F4A7C15) & mask) for k in range(1000)]
    assert [int(word) & mask for word in random.bits(key, (1000,))] == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", list(sample_keys()))
def test_uniform_is_uniform(name: str, dtype: torch.dtype) -> None:
    u = random.uniform(sample_keys()[name], (N,), dtype).double().numpy()
    assert 0 < u.min() < 1e-4 and 1 - 1e-4 < u.max() < 1
    # 12 tests share one fixed draw each: 1e-4 keeps the family's false alarms near one in a thousand.
    assert scipy.stats.kstest(u, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 4.5 / np.sqrt(N)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normal_is_normal(dtype: torch.dtype) -> None:
    z = random.normal(random.key(3, "init"), (N,), dtype).double().numpy()
    assert scipy.stats.kstest(z, "norm").pvalue > 1e-4
    # Standard errors of variance and kurtosis are sqrt(2/N) and sqrt(24/N).
    assert abs(z.var() - 1) < 4.5 * np.sqrt(2 / N)
    assert abs(scipy.stats.kurtosis(z)) < 4.5 * np.sqrt(24 / N)


def test_uniform_is_open_and_symmetric() -> None:
    """Odd multiples of 2^-24: neither 0 nor 1 can come, and 1 - u is as likely as u."""
    u = random.uniform(random.key(1, "noise"), (N,)).double()
    assert (u * 2**24 % 2 == 1).all()


def test_numbers_do_not_depend_on_the_dtype_beyond_rounding() -> None:
    key = random.key(5, "init")
    for draw in (random.uniform, random.normal):
        single, double = draw(key, (N,), torch.float32), draw(key, (N,), torch.float64)
        assert (single.double() - double).abs().max() < 2e-7 * 7


@pytest.mark.parametrize(("a", "b"), list(itertools.combinations(sample_keys(), 2)))
def test_streams_seeds_and_steps_are_independent(a: str, b: str) -> None:
    keys = sample_keys()
    x, y = (random.uniform(keys[name], (N,), torch.float64).numpy() for name in (a, b))
    assert abs(np.corrcoef(x, y)[0, 1]) < 4.5 / np.sqrt(N)
    # Also against a shift: two keys must not be places in one short sequence.
    assert np.intersect1d(x, y).size == 0


def test_neighbouring_seeds_and_members_are_independent() -> None:
    """The first number of 200,000 consecutive seeds is itself a uniform sample."""
    u = random.uniform(random.key(torch.arange(N), "init"), torch.tensor(0), torch.float64).numpy()
    assert scipy.stats.kstest(u, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 4.5 / np.sqrt(N)


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 1.0])
def test_bernoulli_has_its_probability(probability: float) -> None:
    hits = int(random.bernoulli(random.key(0, "noise"), (N,), probability).sum())
    assert abs(hits - N * probability) <= 4.5 * np.sqrt(N * probability * (1 - probability))


@pytest.mark.parametrize("probability", [0.0, 1e-10, 0.1, 0.5, 0.9, 1.0])
def test_a_mask_has_its_probability_at_every_place(probability: float) -> None:
    shape = (7, 3, 5)  # an odd number of places
    keys = random.key(torch.arange(20_000), "mask")
    masks = torch.vmap(lambda key: random.mask(key, shape, probability))(keys).flatten(1).double()
    assert masks.shape == (20_000, 105)
    error = max((probability * (1 - probability) / len(masks)) ** 0.5, 1e-12)
    assert ((masks.mean(0) - probability).abs() <= 5 * error + 1e-9).all()
    if error > 1e-3:
        correlation = torch.corrcoef(masks.T) - torch.eye(105, dtype=torch.float64)
        assert correlation.abs().max() < 6 / len(masks) ** 0.5


def test_masks_of_a_pack_are_those_of_its_members() -> None:
    keys = random.key(torch.arange(4), "mask")
    together = torch.vmap(lambda key: random.mask(key, (5, 9), 0.3))(keys)
    assert torch.equal(together, torch.stack([random.mask(key, (5, 9), 0.3) for key in keys]))


def test_permutation_is_a_permutation_and_uniform() -> None:
    orders = random.permutation(random.key(torch.arange(60_000), "order"), 4)
    assert (orders.sort(-1).values == torch.arange(4)).all()
    _, counts = orders.unique(dim=0, return_counts=True)
    assert len(counts) == 24
    assert scipy.stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_all_functions_are_the_same_under_vmap() -> None:
    keys = random.key(torch.arange(5), "order", 9)
    functions: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
        lambda key: random.uniform(key, (3, 4)),
        lambda key: random.normal(key, (3, 4), torch.float64),
        lambda key: random.bernoulli(key, (50,), 0.3),
        lambda key: random.permutation(key, 17),
        lambda key: random.fold(key, "name"),
    )
    for function in functions:
        mapped = torch.vmap(function)(keys)
        assert torch.equal(mapped, torch.stack([function(key) for key in keys]))


def test_a_number_depends_on_its_index_alone() -> None:
    key = random.key(0, "noise")
    index = torch.tensor([5, 2, 40])
    assert torch.equal(random.uniform(key, index), random.uniform(key, (100,))[index])
    assert torch.equal(random.uniform(key, (4, 5)).flatten(), random.uniform(key, (20,)))


def test_the_global_generator_is_not_touched() -> None:
    before = torch.random.get_rng_state()
    random.normal(random.key(0, "init"), (100,))
    random.permutation(random.key(0, "order"), 100)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("names", [(), ("flip",), ("crop rows", "crop columns", "flip")])
def test_streams_at_once_are_streams_one_by_one(names: tuple[str, ...]) -> None:
    one, several = random.key(3, "task", 5), random.key(torch.arange(4), "task", 5)
    for key in (one, several):
        found = random.streams(key, names)
        assert found.shape == (*key.shape, len(names)) and found.dtype == torch.int64
        for place, name in enumerate(names):
            assert torch.equal(found[..., place], random.fold(key, name))
    batched = torch.vmap(lambda key: random.streams(key, names))(several)
    assert torch.equal(batched, random.streams(several, names))
    assert torch.equal(random.streams(one, names), random.streams(several[:1] * 0 + one, names)[0])
