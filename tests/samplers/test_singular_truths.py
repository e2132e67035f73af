"""Rows tanh, gmm2 and TMS of the truth table: potentials and energies of bench/calibration/llc.py, sampled.

The table has lambda alone there, or an n_beta that no chain can reach: what is stated is checked first.
"""

import math

import pytest
import torch

from bench.calibration.llc import (
    F64,
    around_a_minimum,
    mixture,
    mixture_energy,
    polygon,
    superposition,
    table_tanh_energy,
    tanh_energy,
    tanh_loss,
)
from epochal import samplers


def test_the_quadrature_is_that_of_the_table() -> None:
    assert table_tanh_energy(2000) == pytest.approx(0.6632, abs=0.001)


@pytest.mark.parametrize("units", [1, 2])
def test_tanh_networks_with_zero_target(units: int) -> None:
    """Energies from importance sampling over the inner weights: 40 parts of 2,000 draws."""
    b = torch.randn(80_000, units, generator=torch.Generator().manual_seed(4), dtype=F64)
    parts = torch.stack([tanh_energy(part, 100.0) for part in b.chunk(40)])
    exact, error = float(tanh_energy(b, 100.0)), float(parts.std() / 40**0.5)
    assert error < 0.004 * exact
    found = samplers.mala(
        tanh_loss, torch.zeros(2 * units, dtype=F64), step_size=0.02, num_steps=2500, burn_in=700, chains=256,
        n_beta=100.0, gamma=1.0, keep_positions=False, seed=2,
    )  # fmt: skip
    assert 100 * float(found.draws.mean()) == pytest.approx(exact, rel=0.03)


def test_a_mixture_of_two_gaussians() -> None:
    exact = mixture_energy(145.0)
    near = torch.tensor([[1e-3, 0.02]], dtype=F64)
    assert float(mixture(near)) == pytest.approx(float(0.5 * near.prod().square()), rel=0.01), "a^2 b^2 / 2"
    found = samplers.mala(
        mixture, torch.zeros(2, dtype=F64), step_size=0.015, num_steps=2500, burn_in=500, chains=256,
        n_beta=145.0, box=(-1.0, 1.0), keep_positions=False, seed=2,
    )  # fmt: skip
    assert 145 * float(found.draws.mean()) == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize(
    ("corners", "length", "bias", "loss", "rank"),
    [(5, 1.17, -0.282, 0.06874, 14), (6, 1.321, -0.618, 0.04819, 17)],
)
def test_toy_models_of_superposition(
    corners: int, length: float, bias: float, loss: float, rank: int
) -> None:
    """Loss and rank as the table has them, lambda half the rank: 7 and 8.5, gamma aside."""
    w = polygon(corners, length, bias)
    assert float(superposition(w)) == pytest.approx(loss, abs=1e-5)
    exact, directions = around_a_minimum(w, 1e5, 1e3)
    assert directions == rank and exact < rank / 2
    assert around_a_minimum(w, 1e12, 1e3)[0] == pytest.approx(rank / 2, rel=1e-4)
    baseline = float(superposition(w))
    found = samplers.mala(
        superposition, w, step_size=1.2e-5, num_steps=500, burn_in=200, chains=16, n_beta=1e5, gamma=1e3,
        keep_positions=False, seed=2,
    )  # fmt: skip
    # Least stiff directions relax in 2 / (eps gamma) = 170 steps; 14 of them and more, 16 chains: 2%.
    seen = 1e5 * (float(found.draws.mean()) - baseline)
    assert math.isclose(seen, exact, rel_tol=0.06)
