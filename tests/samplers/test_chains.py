"""Chains as values: what they draw, what a diverged one does, what is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from epochal import samplers
from epochal.core.values.errors import UserError
from epochal.samplers.batches import BatchOrder

NAMES = ("sgld", "rmsprop_sgld", "sgnht", "mala")
W0 = torch.tensor([0.5, -0.5, 0.25], dtype=torch.float64)


def bowl(w: Tensor) -> Tensor:
    return 0.5 * w.square().sum(-1)


def sampled(name: str, w0: Tensor = W0, potential: Any = bowl, **options: Any) -> samplers.Samples:
    options = {"step_size": 0.02, "num_steps": 30, "chains": 3, "seed": 7, "n_beta": 10.0} | options
    found: samplers.Samples = getattr(samplers, name)(potential, w0, **options)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_chain_draws_the_same_among_more_chains_and_in_a_longer_run(name: str) -> None:
    few = sampled(name)
    assert torch.equal(few.positions, sampled(name).positions)
    assert torch.equal(few.positions, sampled(name, chains=5).positions[:3])
    assert torch.equal(few.positions, sampled(name, num_steps=40).positions[:, :30])
    assert not torch.equal(few.positions, sampled(name, seed=8).positions)
    assert not torch.equal(few.positions[0], few.positions[1])


@pytest.mark.parametrize("name", NAMES)
def test_no_global_generator_moves(name: str) -> None:
    before = torch.random.get_rng_state()
    sampled(name)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_of_the_position_before_the_step(name: str) -> None:
    adapting: dict[str, Any] = {"adapt_steps": 5} if name == "rmsprop_sgld" else {}
    found = sampled(name, **adapting)
    torch.testing.assert_close(bowl(found.positions), found.losses)
    torch.testing.assert_close(found.positions[:, 0], W0.expand(3, 3))
    later = sampled(name, burn_in=10, thinning=5, **adapting)
    assert torch.equal(later.positions, found.positions[:, 10::5])
    assert torch.equal(later.draws, found.losses[:, 10:])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_observed_is_of_the_kept_positions(name: str) -> None:
    whole = sampled(name, burn_in=10, thinning=5)
    found = sampled(
        name, burn_in=10, thinning=5, keep_positions=False, observe=lambda w: torch.stack([w, 2 * w], dim=-1)
    )
    assert found.observed is not None and found.observed.shape == (3, 4, 3, 2)
    assert torch.equal(found.observed[..., 0], whole.positions)
    assert torch.equal(found.observed[..., 1], 2 * whole.positions)
    assert torch.equal(found.losses, whole.losses)
    with pytest.raises(UserError, match=r"observe gives \(\) for chains \(3,\)"):
        sampled(name, observe=lambda w: w.sum())


@pytest.mark.parametrize("name", NAMES)
def test_a_grid_of_settings_is_each_of_them(name: str) -> None:
    eps = torch.tensor([0.01, 0.02], dtype=torch.float64)
    both = sampled(name, W0.expand(2, 3), step_size=eps, gamma=eps * 50, common_noise=True)
    assert both.losses.shape == (2, 3, 30)
    for place in range(2):
        alone = sampled(name, step_size=float(eps[place]), gamma=float(eps[place]) * 50)
        torch.testing.assert_close(both.positions[place], alone.positions)


@pytest.mark.parametrize("name", NAMES)
def test_a_mask_holds_the_rest_and_is_the_smaller_problem(name: str) -> None:
    mask = torch.tensor([True, False, True])
    found = sampled(name, mask=mask)
    assert bool((found.positions[..., 1] == W0[1]).all())
    assert float(found.positions[..., 0].var()) > 0


@pytest.mark.parametrize("name", ["sgld", "rmsprop_sgld", "sgnht"])
def test_a_diverged_chain_is_an_outcome_and_its_neighbours_keep_every_bit(name: str) -> None:
    def broken(w: Tensor, step: int) -> Tensor:
        loss = bowl(w)
        return loss + torch.where(torch.tensor([False, step >= 11, False]), torch.inf, 0.0)

    whole, found = sampled(name), sampled(name, potential=broken)
    assert found.diverged == {(1,): 11}
    assert bool(found.losses[1, :11].isfinite().all()) and bool(found.losses[1, 11:].isnan().all())
    assert bool(found.positions[1, 11:].isnan().all()) and bool(found.last[1].isnan().all())
    for chain in (0, 2):
        assert torch.equal(found.positions[chain], whole.positions[chain])


def test_a_step_that_is_far_too_long_is_told() -> None:
    found = sampled("sgld", potential=lambda w: (w**4).sum(-1), step_size=100.0, num_steps=50)
    assert set(found.diverged) == {(0,), (1,), (2,)}


def test_mala_starts_nowhere_where_the_loss_is_not_finite_and_refuses_minibatches() -> None:
    found = sampled("mala", potential=lambda w: bowl(w) / 0)
    assert set(found.diverged.values()) == {0}
    with pytest.raises(UserError, match="full data"):
        sampled("mala", potential=lambda w, step: bowl(w))


def test_mala_accepts_all_but_nothing_of_short_steps() -> None:
    short, long = sampled("mala", step_size=1e-6), sampled("mala", step_size=2.0)
    assert short.acceptance is not None and float(short.acceptance.min()) > 0.999
    assert long.acceptance is not None and float(long.acceptance.max()) < 0.2


def test_a_frozen_preconditioner_keeps_what_it_learned() -> None:
    """On a linear loss V is constant: G = 1 / (damping + |slope|), and steps are drift plus noise of G."""
    slope = torch.tensor([0.0, 0.3, 2.9], dtype=torch.float64)
    found = sampled(
        "rmsprop_sgld", torch.zeros(3, dtype=torch.float64), lambda w: (slope * w).sum(-1), chains=400,
        num_steps=60, burn_in=20,
    )  # fmt: skip
    scale = 0.02 / (0.1 + slope)
    moves = found.positions.diff(dim=1)
    torch.testing.assert_close(moves.var((0, 1)), scale, rtol=0.03, atol=0)  # 16,000 draws: 1.1%
    drift = -0.5 * scale * 10 * slope
    torch.testing.assert_close(moves.mean((0, 1)), drift, rtol=0, atol=4 * float(scale.max() / 16000) ** 0.5)


def test_batches_are_epochs_own_or_shared() -> None:
    key = torch.tensor(5)
    order = BatchOrder(key, [0, 1, 0], size=10, batch_size=4)
    epoch = torch.cat([order.next(), order.next()], dim=1)
    assert torch.equal(epoch[0], epoch[2]) and not torch.equal(epoch[0], epoch[1])
    assert all(len(set(row.tolist())) == 8 for row in epoch)
    fresh = torch.cat([order.next(), order.next()], dim=1)
    assert not torch.equal(epoch[0], fresh[0])
    alone = BatchOrder(key, [1], size=10, batch_size=4)
    assert torch.equal(torch.cat([alone.next(), alone.next()], dim=1)[0], epoch[1])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"step_size": 0.0}, "step_size=0.0 is not positive"),
        ({"step_size": float("nan")}, "step_size=nan is not positive"),
        ({"gamma": -1.0}, "gamma=-1.0 is not 0 or more"),
        ({"n_beta": 0}, "n_beta=0 is not positive"),
        ({"chains": 0}, "chains=0 is too few"),
        ({"burn_in": 30}, "burn_in=30 leaves none of num_steps=30"),
        ({"box": (0.0, 1.0)}, "outside box"),
        ({"step_size": torch.tensor([0.1, 0.2])}, "shape"),
        ({"potential": lambda w: w}, "must give"),
        ({"w0": [0.0] * 10}, r"w0 is a list; give a floating tensor \[..., d\], as torch.zeros\(d\)"),
    ],
)
def test_what_is_refused(options: dict[str, Any], said: str) -> None:
    for name in NAMES if "w0" in options else ("sgld",):
        with pytest.raises(UserError, match=said) as refused:
            sampled(name, **options)
        assert "\n" not in str(refused.value)
