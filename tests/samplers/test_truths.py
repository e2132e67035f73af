"""Samplers against exact energies ``E[n_beta L]`` at finite n_beta, budgets from autocorrelation.

A coordinate of curvature h has the relaxation time ``2 / (eps n_beta h)`` steps; K chains of T draws after
burn-in give its energy (mean 1/2, variance 1/2) with variance ``.5 / (K T eps n_beta h / 2)``. The budgets
below leave the standard error at a third of the tolerance or less. bench/calibration/llc.py has the whole
table and longer chains.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from epochal import samplers

CURVATURES = torch.logspace(-1, 1, 10, dtype=torch.float64)


def quadratic(w: Tensor) -> Tensor:
    return 0.5 * (CURVATURES * w**2).sum(-1)


def energy(
    name: str, potential: Callable[[Tensor], Tensor], size: int, n_beta: float, **options: Any
) -> float:
    options = {
        "seed": 1,
        "chains": 128,
        "num_steps": 3000,
        "burn_in": 1000,
        "keep_positions": False,
    } | options
    w0 = torch.zeros(size, dtype=torch.float64)
    found = getattr(samplers, name)(potential, w0, n_beta=n_beta, **options)
    assert not found.diverged
    return n_beta * float(found.draws.mean())


# SGLD's own bias is computed below. RMSprop's G lies between 2 and 10: its step is smaller for that.
REGULAR = [
    ("sgld", {"step_size": 4e-4}, 0.02),
    ("rmsprop_sgld", {"step_size": 6e-5, "num_steps": 4000}, 0.03),
    ("sgnht", {"step_size": 4e-4}, 0.02),
    ("mala", {"step_size": 1.2e-3}, 0.02),
]


@pytest.mark.parametrize(("n_beta", "gamma"), [(100.0, 0.0), (100.0, 10.0), (1000.0, 100.0)])
@pytest.mark.parametrize(("name", "options", "tolerance"), REGULAR)
def test_a_regular_minimum(
    name: str, options: dict[str, Any], tolerance: float, n_beta: float, gamma: float
) -> None:
    eps = options["step_size"] * 100 / n_beta
    stiffness = n_beta * CURVATURES + gamma
    exact = float((0.5 * n_beta * CURVATURES / stiffness).sum())
    if name == "sgld":
        exact = float((0.5 * n_beta * CURVATURES / stiffness / (1 - eps * stiffness / 4)).sum())
    seen = energy(name, quadratic, 10, n_beta, gamma=gamma, **(options | {"step_size": eps}))
    assert seen == pytest.approx(exact, rel=tolerance)


def test_the_bias_of_unadjusted_steps_is_the_closed_form() -> None:
    # reg_ula: 0.5 sum 1 / (1 - eps n_beta h / 4) at eps = 1e-3; without discretisation it would be 5.
    assert energy("sgld", quadratic, 10, 100.0, step_size=1e-3) == pytest.approx(5.371905, rel=0.015)


def test_momentum_and_thermostat_are_applied() -> None:
    """devinterp 1.3.2 computes both and applies neither: it says .10 here."""
    assert energy("sgnht", quadratic, 10, 100.0, step_size=4e-4) == pytest.approx(5.0, rel=0.02)


def test_the_thermostat_absorbs_the_noise_of_gradients() -> None:
    """Gradients with noise of known variance: SGLD's temperature rises by it, the thermostat's does not."""
    generator = torch.Generator().manual_seed(0)

    class Noisy:
        is_stepwise = True

        def slope(self, w: Tensor, step: int) -> tuple[Tensor, Tensor]:
            noise = torch.randn(w.shape, generator=generator, dtype=w.dtype)
            return 0.5 * w.square().sum(-1), w + 0.5 * noise

    w0 = torch.zeros(10, dtype=torch.float64)
    common: dict[str, Any] = {"step_size": 0.01, "num_steps": 4000, "burn_in": 2000, "chains": 64}
    common |= {"keep_positions": False, "n_beta": 10.0}
    # Per step, eps^2 n_beta^2 sigma^2 / 4 beside eps: a relative rise of eps n_beta^2 sigma^2 / 4 = .0625.
    heated = 10 * float(samplers.sgld(Noisy(), w0, **common).draws.mean())
    exact = 5.0 / (1 - 0.01 * 10 / 4) * (1 + 0.01 * 100 * 0.25 / 4)
    assert heated == pytest.approx(exact, rel=0.015)
    assert 10 * float(samplers.sgnht(Noisy(), w0, **common).draws.mean()) == pytest.approx(5.0, rel=0.015)


@pytest.mark.parametrize("n_beta", [10.0, 1000.0])
@pytest.mark.parametrize("degree", [4, 6])
def test_homogeneous_potentials_have_one_over_their_degree_at_every_n_beta(
    degree: int, n_beta: float
) -> None:
    # w^degree has the width n_beta^(-1/degree); the step is scaled alike.
    eps = 0.1 * n_beta ** (-2 / degree)
    seen = energy("mala", lambda w: (w**degree).sum(-1), 1, n_beta, step_size=eps, chains=256)
    assert seen == pytest.approx(1 / degree, rel=0.02)


def test_sgld_on_a_quartic() -> None:
    seen = energy("sgld", lambda w: (w**4).sum(-1), 1, 100.0, step_size=0.002, chains=256, num_steps=6000)
    assert seen == pytest.approx(0.25, rel=0.03)


def test_independent_blocks_add() -> None:
    seen = energy("mala", lambda w: w[..., 0] ** 2 + w[..., 1] ** 4, 2, 100.0, step_size=0.01, chains=256)
    assert seen == pytest.approx(0.75, rel=0.02)


def crossing_energy(a: int, b: int, n_beta: float) -> float:
    """E[n_beta (x^a y^b)^2] on [-1, 1]^2, by Gauss-Legendre quadrature in the logarithms of both."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    log_w = -15 + 15 * (nodes + 1) / 2  # exp(-15) of the box is left out
    x, y = np.exp(log_w)[:, None], np.exp(log_w)[None]
    measure = weights[:, None] * weights[None] * x * y
    potential = n_beta * (x**a * y**b) ** 2
    density = measure * np.exp(-potential)
    return float((potential * density).sum() / density.sum())


@pytest.mark.parametrize(("a", "b", "stated"), [(1, 1, 0.3559), (2, 2, 0.1414)])
def test_normal_crossings_in_a_box(a: int, b: int, stated: float) -> None:
    n_beta = 145.0
    exact = crossing_energy(a, b, n_beta)
    assert exact == pytest.approx(stated, abs=2e-4)

    def potential(w: Tensor) -> Tensor:
        return (w[..., 0] ** a * w[..., 1] ** b) ** 2

    seen = energy(
        "mala", potential, 2, n_beta, step_size=0.01, chains=512, num_steps=3500, box=(-1.0, 1.0)
    )  # fmt: skip
    assert seen == pytest.approx(exact, rel=0.03)


def test_reflecting_walls_leave_the_uniform_law() -> None:
    w0 = torch.zeros(1, dtype=torch.float64)
    found = samplers.sgld(
        lambda w: 0 * w.sum(-1), w0, step_size=0.1, num_steps=600, burn_in=200, thinning=20, chains=512,
        box=(-1.0, 1.0),
    )  # fmt: skip
    # 512 x 20 nearly independent draws: the sd of their mean square is .003.
    assert float(found.positions.square().mean()) == pytest.approx(1 / 3, abs=0.012)
    assert float(found.positions.abs().max()) <= 1


def test_least_squares_have_half_their_parameters() -> None:
    """linreg: 10 for 20 coordinates at any n_beta, whatever the data, on the full data."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(500, 20, generator=generator, dtype=torch.float64)

    def potential(w: Tensor) -> Tensor:
        return 0.5 * (w @ inputs.T).square().mean(-1)

    assert energy("mala", potential, 20, 1000.0, step_size=6e-4) == pytest.approx(10.0, rel=0.02)


def test_a_deep_linear_network() -> None:
    """K = (w3 w2 w1)^2 / 2 under N(0, 1), against quadrature over the product's three factors."""
    n_beta = 100.0
    nodes, weights = np.polynomial.legendre.leggauss(200)
    reach = 12 + math.log(6)
    x = np.exp(-12 + reach * (nodes + 1) / 2)  # .2423; with 400 nodes the same to five digits
    measure = weights * x * np.exp(-0.5 * x**2)
    potential = 0.5 * n_beta * (x[:, None, None] * x[None, :, None] * x[None, None]) ** 2
    density = measure[:, None, None] * measure[None, :, None] * measure * np.exp(-potential)
    exact = float((potential * density).sum() / density.sum())
    seen = energy(
        "mala", lambda w: 0.5 * w.prod(-1).square(), 3, n_beta, gamma=1.0, step_size=0.02, chains=512,
        num_steps=5000, burn_in=1000,
    )  # fmt: skip
    assert math.isclose(seen, exact, rel_tol=0.03)
