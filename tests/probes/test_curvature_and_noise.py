"""Hessian, gradient noise, dead units and activation scale of real networks against brute force."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from epochal import GivenView
from epochal.check.case import population_of
from epochal.core.tensors import random
from epochal.core.values.errors import UserError
from epochal.engine.population import initial_population
from epochal.engine.view import LiveView
from epochal.probes import find
from epochal.probes.curvature.lanczos import ritz_values


def value(name: str, view: Any, **options: Any) -> dict[str, Any]:
    probe = find(name)
    measured = probe.configured(probe.options(**options)).measure(view)
    return {column: each.double().numpy() for column, each in measured.items()}


@pytest.fixture(scope="module")
def view() -> LiveView:
    """A network of 198 parameters on 24 examples."""
    program = population_of({"model": "mlp", "depth": 1, "precision": "float64", "modulus": 7, "width": 9})
    population = initial_population(program)
    fields = {name: of[0] for name, of in program.fields.items()}
    return LiveView(
        program, step=0, flat=population.flat[0] * 3, buffers=population.buffers[0],
        initial=population.initial[0], fields=fields,
    )  # fmt: skip


def full_hessian(view: LiveView) -> torch.Tensor:
    batch = view.data("train")

    def loss(flat: torch.Tensor) -> torch.Tensor:
        return view.loss_on(batch, flat)

    found: torch.Tensor = torch.func.jacrev(torch.func.grad(loss))(view.flat)
    return found


def test_extreme_eigenvalues_are_those_of_the_full_hessian(view: LiveView) -> None:
    spectrum = torch.linalg.eigvalsh(full_hessian(view)).numpy()
    seen = value("hessian", view, iterations=60, eigenvalues=4)
    assert spectrum[-1] > 0.1 and spectrum[0] < -1e-3
    assert np.allclose(seen["top_eigenvalues"], spectrum[::-1][:4], rtol=1e-6)
    assert np.isclose(seen["smallest_eigenvalue"], spectrum[0], rtol=1e-4)
    few = value("hessian", view, iterations=5, eigenvalues=1)
    assert few["top_eigenvalues"][0] <= spectrum[-1] * (1 + 1e-12)
    assert few["smallest_eigenvalue"] >= spectrum[0] * (1 + 1e-12)


def test_as_many_iterations_as_parameters_give_the_whole_spectrum() -> None:
    """Also where eigenvalues are many times the same."""
    values = torch.tensor([4.0, 4.0, 1.0, 0.0, 0.0, 0.0, -2.0], dtype=torch.float64)
    turn = torch.linalg.qr(torch.tensor(np.random.default_rng(0).normal(size=(7, 7)))).Q
    matrix = turn @ values.diag() @ turn.T
    seen = ritz_values(lambda v: matrix @ v, random.key(0, "x"), 7, 99, torch.float64)
    assert torch.allclose(seen, values.flip(0), atol=1e-10)


def test_the_trace_is_the_full_one_within_its_error(view: LiveView) -> None:
    """Hutchinson's variance is 2 sum_{i != j} H_ij^2: the error is of that size, the estimate within four."""
    matrix = full_hessian(view)
    variance = 2 * (matrix.square().sum() - matrix.diagonal().square().sum())
    seen = value("hessian", view, draws=400)
    assert 0.8 < seen["trace_error"] / math.sqrt(float(variance) / 400) < 1.25
    assert abs(seen["trace"] - float(matrix.trace())) < 4 * seen["trace_error"]


def test_the_noise_scale_of_single_gradients_is_their_covariance_s(view: LiveView) -> None:
    batch = view.data("train")
    number = len(batch.targets)
    each = torch.stack(
        [
            torch.func.grad(lambda flat, k=k: view.loss_on(rows(batch, k), flat))(view.flat)
            for k in range(number)
        ]
    )
    noise = each.var(0).sum()
    signal = each.mean(0).square().sum() - noise / number
    assert signal > 0
    seen = value("gradient_noise_scale", view, group=1)
    assert np.isclose(seen["gradient_noise_scale"], float(noise / signal), rtol=1e-9)
    assert seen["gradient_noise_scale_error"] > 0


def rows(batch: Any, k: int) -> Any:
    return type(batch)(
        inputs=batch.inputs[k : k + 1],
        targets=batch.targets[k : k + 1],
        weight=batch.weight[k : k + 1],
        factors={name: of[k : k + 1] for name, of in batch.factors.items()},
    )


@pytest.mark.parametrize("group", [16, 32])
def test_the_noise_scale_of_gaussian_gradients_is_recovered(group: int) -> None:
    """Gradients N(mu, s^2 I): B = d s^2 / |mu|^2 = 25, at every group size, and the error is its spread."""
    found, errors = [], []
    for seed in range(40):
        drawn = np.random.default_rng(seed).normal(size=(512, 20)) * 2 + math.sqrt(80 / 25 / 20)
        gradients = torch.tensor(drawn)
        view = GivenView(
            given_params={"w": torch.zeros(20, dtype=torch.float64)},
            given_inputs={"train": gradients},
            given_targets={"train": torch.zeros(512, dtype=torch.int64)},
            given_batch_loss=lambda batch, flat: (batch.inputs @ flat).mean(),
        )
        seen = value("gradient_noise_scale", view, group=group, samples=512)
        found.append(float(seen["gradient_noise_scale"]))
        errors.append(float(seen["gradient_noise_scale_error"]))
    assert abs(np.mean(found) - 25) < 4 * np.std(found) / math.sqrt(40) + 0.5
    assert 0.6 < np.mean(errors) / np.std(found) < 1.6


def test_too_few_groups_are_refused(view: LiveView) -> None:
    with pytest.raises(UserError, match="group=20 makes 1 of 24 examples"):
        value("gradient_noise_scale", view, group=20)


def test_a_killed_unit_is_dead_and_a_lifted_one_always_active() -> None:
    program = population_of({"model": "mlp", "depth": 1, "precision": "float64", "width": 8})
    population = initial_population(program)
    params = program.network.layout.unflatten(population.flat[0].clone())
    params["layer.0.bias"][:3] = -1e3
    params["layer.0.bias"][3] = 1e3
    fields = {name: of[0] for name, of in program.fields.items()}
    view = LiveView(
        program, step=0, flat=program.network.layout.flatten(dict(params)), buffers=population.buffers[0],
        initial=population.initial[0], fields=fields,
    )  # fmt: skip
    seen = value("dead_units", view)
    assert seen["dead_units"][0] >= 3 / 8 and seen["always_active_units"][0] >= 1 / 8
    assert find("dead_units").configured().labels(view)["dead_units"] == ["layer.0"]
    hidden = view.passage().activations["layer.0"]
    scale = value("activation_scale", view)["activation_scale"][0]
    assert np.isclose(scale, float(hidden.square().mean().sqrt()))
