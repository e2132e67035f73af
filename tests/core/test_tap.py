"""Dropout through the tap: how much, of what, and independent of what."""

import pytest
import torch
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.tap import SILENT, Tap

ONES = torch.ones(40_000, dtype=torch.float64)


def tap(seed: int = 0, step: int = 0) -> Tap:
    return Tap(training=True, key=random.key(seed, "dropout", step))


def mask(site: str = "layer.0", seed: int = 0, step: int = 0, rate: float = 0.5) -> Tensor:
    return (tap(seed, step).dropout(site, ONES, rate) > 0).double()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_rate_of_units_is_dropped_and_the_rest_scaled(rate: float) -> None:
    h = tap().dropout("layer.0", 3 * ONES, rate)
    dropped = (h == 0).double().mean()
    assert abs(dropped - rate) < 5 * (rate * (1 - rate) / len(ONES)) ** 0.5
    torch.testing.assert_close(h[h != 0], 3 / (1 - rate) * torch.ones(int((h != 0).sum())).double())


@pytest.mark.parametrize(
    "other", [{"site": "layer.1"}, {"step": 1}, {"seed": 1}], ids=["site", "step", "member"]
)
def test_masks_are_repeatable_and_otherwise_independent(other: dict[str, object]) -> None:
    assert torch.equal(mask(), mask())
    agreement = (mask() == mask(**other)).double().mean()  # type: ignore[arg-type]
    assert abs(agreement - 0.5) < 5 * 0.5 / len(ONES) ** 0.5


def test_nothing_happens_outside_training_or_at_rate_zero() -> None:
    assert SILENT.dropout("layer.0", ONES, 0.5) is ONES
    assert Tap(training=True).dropout("layer.0", ONES, 0.0) is ONES, "not even a key is needed"
    assert torch.equal(tap().dropout("layer.0", ONES, torch.tensor(0.0)), ONES)
    with pytest.raises(AssertionError, match=r"layer\.0 needs Tap"):
        Tap(training=True).dropout("layer.0", ONES, 0.5)


def test_members_have_masks_and_rates_of_their_own_under_vmap() -> None:
    keys = random.key(torch.tensor([3, 4, 5]), "dropout", 7)
    rates = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    h = torch.randn(3, 20, 30, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def of_member(key: Tensor, rate: Tensor, own: Tensor) -> Tensor:
        return Tap(training=True, key=key).dropout("layer.0", own, rate)

    together = torch.vmap(of_member)(keys, rates, h)
    for member in range(3):
        alone = tap(3 + member, 7).dropout("layer.0", h[member], rates[member])
        assert torch.equal(together[member], alone)
    assert together.dtype == h.dtype
    assert torch.equal(together[0], h[0]) and (together[2] == 0).all()
    (gradient,) = torch.autograd.grad(together.sum(), h)
    assert gradient.isfinite().all() and torch.equal(gradient[1] == 0, together[1] == 0)
