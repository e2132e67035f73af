"""The step that calibration chooses: what steps of a length add is known, and no more than is tolerated."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from epochal import samplers
from epochal.analysis.chains.chain_mixing import mean_error
from epochal.core.values.errors import UserError
from epochal.probes.learning_coefficient.calibration import calibrate
from epochal.probes.learning_coefficient.potential import NetworkLoss
from epochal.probes.learning_coefficient.sampling import coefficient
from epochal.probes.learning_coefficient.settings import Settings
from epochal.probes.learning_coefficient.step_choice import chosen_step

F64 = torch.float64
CURVATURES = torch.logspace(-1, 1, 10, dtype=F64)


def bowl() -> NetworkLoss:
    def slope(flat: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        return 0.5 * (CURVATURES * flat**2).sum(-1), CURVATURES * flat

    return NetworkLoss(row=lambda flat, index: slope(flat, index)[0], size=500, slope=slope)


@pytest.mark.parametrize(("gamma", "step_size"), [(0.0, 1e-3), (20.0, 1e-3), (20.0, 2e-3)])
def test_the_excess_of_long_steps_on_a_quadratic_is_the_closed_form(gamma: float, step_size: float) -> None:
    """``1/2 sum n_beta h / s [1 / (1 - eps s / 4) - 1]``, s = n_beta h + gamma; reg_ula of the truth table
    is the first."""
    stiff = 100 * CURVATURES + gamma
    share, x = 0.5 * 100 * CURVATURES / stiff, step_size * stiff / 4
    exact = float((share / (1 - x)).sum() - share.sum())
    found = samplers.sgld(
        lambda w: 0.5 * (CURVATURES * w**2).sum(-1), torch.zeros(10, dtype=F64), step_size=step_size,
        num_steps=2500, burn_in=500, chains=128, n_beta=100.0, gamma=gamma, seed=2,
    )  # fmt: skip
    assert found.statistics["excess"].shape == (128,)
    assert float(found.statistics["excess"].mean()) == pytest.approx(exact, rel=0.02)


def test_the_excess_holds_the_noise_of_gradients() -> None:
    """Noise of variance sigma^2 heats by ``q = eps n_beta^2 sigma^2 / 4``: ``(1 + q) / (1 - x)``."""
    generator = torch.Generator().manual_seed(0)

    class Noisy:
        is_stepwise = True

        def slope(self, w: Tensor, step: int) -> tuple[Tensor, Tensor]:
            return 0.5 * w.square().sum(-1), w + 0.5 * torch.randn(w.shape, generator=generator, dtype=F64)

    found = samplers.sgld(
        Noisy(), torch.zeros(10, dtype=F64), step_size=0.01, num_steps=3000, burn_in=500, chains=64,
        n_beta=10.0, keep_positions=False,
    )  # fmt: skip
    exact = 5.0 * ((1 + 0.0625) / (1 - 0.025) - 1)
    assert float(found.statistics["excess"].mean()) == pytest.approx(exact, rel=0.02)


def test_an_estimate_says_how_far_its_steps_lift_it() -> None:
    settings = Settings(draws=800, chains=16, n_beta=100.0, gamma=1.0, step_size=2e-3, burn_in=200)
    found = coefficient(bowl(), torch.zeros(10, dtype=F64), settings)
    stiff = 100 * CURVATURES + 1
    share = 0.5 * 100 * CURVATURES / stiff
    exact = float((share / (1 - 2e-3 * stiff / 4)).sum() / share.sum()) - 1
    assert exact > 0.15 and found.step_bias == pytest.approx(exact, rel=0.1)
    assert not found.equilibrated
    assert any(f"up to {found.step_bias:.0%} too high: take a smaller" in reason for reason in found.reasons)
    shorter = coefficient(bowl(), torch.zeros(10, dtype=F64), replace(settings, step_size=7e-4))
    assert shorter.step_bias is not None and 0.03 < shorter.step_bias < 0.1
    assert any("too high: take shorter ones" in note for note in shorter.notes)
    assert not any("too high" in reason for reason in shorter.reasons)


def test_the_chosen_step_on_a_quadratic_adds_no_more_than_is_tolerated() -> None:
    at = torch.zeros(10, dtype=F64)
    for tolerance in (0.1, 0.01):
        found = calibrate(bowl(), at, Settings(draws=400, n_beta=80.0, gamma=2.0), tolerance=tolerance)
        step = found.settings.step_size
        assert step is not None
        stiff = 80 * CURVATURES + 2
        share = 0.5 * 80 * CURVATURES / stiff
        bias = float((share / (1 - step * stiff / 4)).sum() / share.sum()) - 1
        assert tolerance / 6 < bias < 1.1 * tolerance
        assert found.estimate.step_bias == pytest.approx(bias, rel=0.2)
        assert f"bias of its steps: {found.estimate.step_bias:.2%} at most" in found.reasons[-1]
    given = calibrate(bowl(), at, Settings(draws=400, n_beta=80.0, gamma=2.0, step_size=2e-3))
    assert given.settings.step_size == 2e-3 and not given.estimate.equilibrated
    assert any("too high, above 3.0%: take sampler=mala" in reason for reason in given.estimate.reasons)
    long = calibrate(bowl(), at, Settings(draws=400, chains=16, n_beta=80.0, gamma=2.0, step_size=3e-3))
    assert not any("doubled" in reason for reason in long.reasons), "more draws do not shorten a step"
    assert long.settings.draws == 400 and long.estimate.step_bias and long.estimate.step_bias > 0.1
    assert any(
        "0.003 is at fault, which more draws do not mend: leave out step_size=" in reason
        for reason in long.reasons
    )
    exact = calibrate(bowl(), at, Settings(draws=400, n_beta=80.0, gamma=2.0, step_size=2e-3, sampler="mala"))
    assert exact.estimate.step_bias is None and "accepted or rejected" in exact.reasons[-1]
    with pytest.raises(UserError, match=r"tolerance=3 is outside \(0, 1\)"):
        calibrate(bowl(), at, Settings(), tolerance=3.0)


def product_energy(m: int, h: int, n: int, rank: int, *, n_beta: float, gamma: float) -> tuple[float, float]:
    """``E[n_beta |W2 W1 - T|^2 / 2]`` around ``diag(I, 0)`` with its error, by Gibbs: each layer is Gaussian
    given the other, with precision ``n_beta A'A + gamma`` per column (W1) or row (W2)."""
    generator = torch.Generator().manual_seed(5)
    target, w1, w2 = (torch.eye(a, b, dtype=F64) for a, b in ((n, m), (h, m), (n, h)))
    for each in (target, w1, w2):
        each[rank:] = 0
    start = (w1, w2)
    w1, w2 = (each.expand(128, -1, -1) for each in start)
    seen = []
    for sweep in range(400):
        for is_first in (True, False):
            other, centre = (w2, start[0]) if is_first else (w1.mT, start[1].mT)
            goal = target if is_first else target.mT
            precision = n_beta * other.mT @ other + gamma * torch.eye(h, dtype=F64)
            root = torch.linalg.cholesky(precision)
            mean = torch.cholesky_solve(n_beta * other.mT @ goal + gamma * centre, root)
            noise = torch.randn(mean.shape, generator=generator, dtype=F64)
            drawn = mean + torch.linalg.solve_triangular(root.mT, noise, upper=True)
            w1, w2 = (drawn, w2) if is_first else (w1, drawn.mT)
        if sweep >= 100:
            seen.append(0.5 * n_beta * (w2 @ w1 - target).square().sum((-1, -2)))
    energies = torch.stack(seen, dim=-1).numpy()
    return float(energies.mean()), mean_error(energies)


def product_loss(m: int, h: int, n: int, rank: int) -> tuple[NetworkLoss, Tensor]:
    target, w1, w2 = (torch.eye(a, b, dtype=F64) for a, b in ((n, m), (h, m), (n, h)))
    for each in (target, w1, w2):
        each[rank:] = 0

    def slope(flat: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        first, second = flat[:, : h * m].reshape(-1, h, m), flat[:, h * m :].reshape(-1, n, h)
        error = second @ first - target
        gradients = (second.mT @ error).flatten(1), (error @ first.mT).flatten(1)
        return 0.5 * error.square().sum((-1, -2)), torch.cat(gradients, dim=-1)

    loss = NetworkLoss(row=lambda flat, index: slope(flat[None], index)[0][0], size=64, slope=slope)
    return loss, torch.cat([w1.flatten(), w2.flatten()])


def test_a_product_of_matrices_whose_curvature_at_its_minimum_says_little() -> None:
    """Hidden units that w* leaves out move: along the way curvature is ten times that at w*, and MALA, which
    starts there, accepts .98 of steps that are 8% too high."""
    truth, error = product_energy(5, 8, 5, 5, n_beta=100.0, gamma=2.0)
    loss, at = product_loss(5, 8, 5, 5)
    settings = Settings(draws=1500, chains=32, n_beta=100.0, gamma=2.0)
    long = coefficient(loss, at, Settings(draws=1500, chains=32, n_beta=100.0, gamma=2.0, step_size=5e-4))
    assert long.value / truth - 1 > 0.05 and long.step_bias == pytest.approx(long.value / truth - 1, abs=0.02)
    found = calibrate(loss, at, settings)
    assert found.acceptance[2]["step_size"] == pytest.approx(5e-4, rel=0.01)
    assert found.acceptance[2]["acceptance"] > 0.9
    assert found.estimate.equilibrated and found.settings.step_size is not None
    assert 3e-5 < found.settings.step_size < 3e-4
    off = abs(found.estimate.value - truth)
    assert off < 0.03 * truth + 3 * math.hypot(error, found.estimate.standard_error)
    assert found.estimate.standard_error < 0.012 * truth


def test_where_the_minimum_has_no_curvature_that_of_the_localisation_counts() -> None:
    """Rank 0: the loss is of degree four at w*, where differences of slopes show rounding alone."""
    truth, error = product_energy(4, 3, 8, 0, n_beta=1000.0, gamma=10.0)
    loss, at = product_loss(4, 3, 8, 0)
    found = calibrate(loss, at, Settings(draws=2000, chains=32, n_beta=1000.0, gamma=10.0))
    assert found.estimate.equilibrated and any("at draws of N(w*, 1 / 10)" in why for why in found.reasons)
    off = abs(found.estimate.value - truth)
    assert off < 0.03 * truth + 3 * math.hypot(error, found.estimate.standard_error)


def test_a_step_must_be_accepted_unbiased_and_on_the_plateau() -> None:
    accepted = [
        {"step_size": s, "acceptance": a} for s, a in ((8.0, 0.5), (4.0, 0.95), (2.0, 0.97), (1.0, 1.0))
    ]

    def column(values: list[float], biases: Sequence[float | None]) -> list[dict[str, float | None]]:
        return [
            {"llc": v, "standard_error": 0.01, "step_bias": b} for v, b in zip(values, biases, strict=True)
        ]

    flat = [10.0] * 4
    for values, biases, step in (
        (flat, [0.0] * 4, 4.0),  # the first is not accepted
        (flat, [0.2, 0.1, 0.02, 0.01], 2.0),
        ([12.0, 11.0, 10.05, 10.0], [None] * 4, 2.0),  # no bias is known: half of the step must agree
        (flat, [0.9, 0.6, 0.4, 0.21], 0.1),  # none: in proportion, to .7 of the tolerance
    ):
        found, why = chosen_step(accepted, column(values, biases), tolerance=0.03, is_exact=False)
        assert found == pytest.approx(step) and why
