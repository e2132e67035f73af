"""Calibration where curvature at w* misleads, where w* is no minimum, and where nothing can be found."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from epochal.probes.learning_coefficient import calibration, soundings
from epochal.probes.learning_coefficient.calibration import calibrate, stronger
from epochal.probes.learning_coefficient.potential import NetworkLoss
from epochal.probes.learning_coefficient.settings import Settings
from epochal.probes.learning_coefficient.step_choice import chosen_step
from epochal.store.calibration import calibrated, write_calibration
from tests.report.runs import short_run

F64 = torch.float64


def radial(slope: Any, size: int = 64) -> NetworkLoss:
    return NetworkLoss(row=lambda flat, index: slope(flat, index)[0], size=size, slope=slope)


def quartic(flat: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """``r^4 + 5e-7 r^2``: the walls say nothing of the curvature at 0, 1e-6."""
    square = flat.square().sum(-1)
    return square**2 + 5e-7 * square, (4 * square + 1e-6)[:, None] * flat


def quartic_energy(d: int, *, n_beta: float, gamma: float) -> float:
    """``E[n_beta L]`` over ``r^(d-1) exp(-n_beta L - gamma r^2 / 2)``, by the sum over a grid."""
    r = torch.linspace(1e-6, 3, 200_001, dtype=F64)
    loss = n_beta * (r**4 + 5e-7 * r**2)
    weight = r ** (d - 1) * (-loss - gamma / 2 * r**2).exp()
    return float((weight * loss).sum() / weight.sum())


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One temperature in the map: what is not looked at here takes no time."""
    for module in (calibration, soundings):
        monkeypatch.setattr(module, "BETAS", (1.0,))


def test_steps_shorten_by_orders_where_the_curvature_at_the_minimum_misleads(few: None) -> None:
    settings = Settings(chains=16, draws=400, n_beta=100.0)
    seen: list[tuple[int, int]] = []
    found = calibrate(
        radial(quartic), torch.zeros(6, dtype=F64), settings, progress=lambda a, b: seen.append((a, b))
    )
    chosen = found.settings
    assert chosen.step_size is not None and chosen.gamma is not None and not found.failure
    # 1 / (n_beta h) = 1e4; where the chains walk curvature is above 1.
    assert chosen.step_size < 0.01 and "are tried at 0.25 of these" in " ".join(found.reasons)
    truth = quartic_energy(6, n_beta=100.0, gamma=chosen.gamma)
    assert found.estimate.equilibrated
    assert abs(found.estimate.value - truth) < 0.03 * truth + 3 * found.estimate.standard_error
    assert found.estimate.standard_error < 0.05 * truth
    # The display moves on, and never past what is to be done.
    assert all(0 < done <= of for done, of in seen) and seen[-1][0] > 0.9 * seen[-1][1]
    # Five steps of two chains for the map, then 16 chains; 800 steps of all 64 examples.
    assert seen[0][1] == (5 * 2 + 16) * 800 * 64
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_negative_estimate_is_told_and_not_shrunk_away(few: None) -> None:
    """``|w - c|^2 / 2`` at 0: ``n_beta (E[L] - L(0)) = n_beta / 2 (|m - c|^2 + d / s - |c|^2)``."""
    centre = torch.full((5,), 0.5, dtype=F64)

    def slope(flat: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        return 0.5 * (flat - centre).square().sum(-1), flat - centre

    settings = Settings(chains=4, draws=400, n_beta=100.0, gamma=50.0)
    found = calibrate(radial(slope), torch.zeros(5, dtype=F64), settings)
    off = 5 * 0.25 * (50 / 150) ** 2
    truth = 50 * (off + 5 / 150 - 1.25)
    assert found.estimate.value == pytest.approx(truth, rel=0.05) and not found.estimate.equilibrated
    longest = next(row["step_size"] for row in found.acceptance if row["acceptance"] >= 0.9)
    assert found.settings.draws == 400 and found.settings.step_size == longest
    said = " ".join(found.reasons)
    assert "w* is no minimum of this loss; train longer" in said and "bias of its steps: cannot" in said
    assert "inf" not in said and "a plateau" not in said and not found.failure


def test_a_loss_of_one_value_has_no_bias_that_could_be_told(few: None) -> None:
    """0 of 0: neither a bias nor a negative number."""
    loss = radial(lambda flat, index: (0 * flat.sum(-1) + 2, 0 * flat))
    found = calibrate(loss, torch.zeros(4, dtype=F64), Settings(draws=40, gamma=1.0, step_size=0.1))
    assert found.estimate.value == 0.0 and not found.estimate.equilibrated and not found.failure
    said = " ".join([*found.reasons, *found.estimate.reasons])
    assert "inf" not in said and "negative" not in said


def cliff(flat: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """A bowl that ends 3e-5 from its middle; beyond, no number."""
    inside = flat.norm(dim=-1) < 3e-5
    return torch.where(inside, 0.5 * flat.square().sum(-1), math.nan), flat


def test_where_every_step_diverges_there_is_a_failure_with_its_remedy(few: None) -> None:
    settings = Settings(chains=2, draws=400, n_beta=100.0, gamma=0.0)
    found = calibrate(radial(cliff), torch.zeros(60, dtype=F64), settings)
    assert found.failure == found.reasons[-1] and not found.estimate.equilibrated
    assert found.failure.startswith("no settings were found: chain 0 diverged at step ")
    assert found.failure.endswith("give a stronger localisation, such as gamma=100")
    assert len([why for why in found.reasons if "diverged" in why and "0.25 of it" in why]) == 6
    given = calibrate(radial(cliff), torch.zeros(60, dtype=F64), Settings(draws=40, step_size=1e-3))
    assert given.settings.step_size == 1e-3 and "leave out step_size=0.001" in given.failure


@pytest.mark.parametrize(("gamma", "said"), [(0.0, "100"), (9.0, "100"), (11.0, "1000"), (5e4, "1000000")])
def test_a_stronger_localisation_is_a_power_of_ten(gamma: float, said: str) -> None:
    assert stronger(gamma) == said


def test_no_plateau_is_negative_and_none_is_of_chains_that_ran_away() -> None:
    accepted = [{"step_size": step, "acceptance": 0.95} for step in (4.0, 2.0, 1.0)]

    def column(values: list[float], away: tuple[bool, ...] = (False,) * 3) -> list[dict[str, Any]]:
        return [
            {"llc": v, "standard_error": 0.1, "step_bias": None, "ran_away": gone}
            for v, gone in zip(values, away, strict=True)
        ]

    for values, away, step in (
        ([-5.0, -5.0, -5.0], (False,) * 3, 4.0),  # no shorter step mends it
        ([-5.0, 7.0, 7.0], (False,) * 3, 2.0),
        ([-0.1, -0.1, -0.1], (False,) * 3, 4.0),  # 0 within its error
        ([1e34, 1e34, 9.0], (True, True, False), 1.0),
    ):
        found, why = chosen_step(accepted, column(values, away), tolerance=0.03, is_exact=False)
        assert found == step
        assert any("negative" in each for each in why) == (values[0] == -5)


def test_step_and_batches_of_another_sampler_are_not_taken(tmp_path: Any) -> None:
    run = short_run(tmp_path)
    run.path.mkdir(parents=True, exist_ok=True)
    settings = {"step_size": 1e-4, "gamma": 7.0, "batch_size": 256, "sampler": "sgld"}
    holder: Any = type("Holder", (), {"paths": type("Paths", (), {"run": run.path})})
    write_calibration(holder, {"settings": settings})
    assert calibrated(holder, {}) == settings
    assert calibrated(holder, {"sampler": "sgld", "gamma": 3}) == {"step_size": 1e-4, "batch_size": 256}
    assert calibrated(holder, {"sampler": "mala"}) == {"gamma": 7.0}
    write_calibration(holder, {"settings": settings, "failure": "no settings were found"})
    assert calibrated(holder, {}) == {}
