"""What a probe sees: activations in evaluation mode, buffers, the start; in pieces or at once; per member."""

import numpy as np
import pytest
import torch
from torch import Tensor

import epochal
from epochal import NoOptions, View
from epochal.engine.observe import measure
from epochal.engine.population import initial_population
from tests.engine.programs import images, program, trained


@epochal.probe(
    columns={"seen": 1, "logits": 0, "mean": 1, "moved": 0, "step": 0},
    unit="1", low=-np.inf, high=np.inf, null="0", cost="one forward pass", source="here",
)  # fmt: skip
def everything(options: NoOptions, view: View) -> dict[str, Tensor]:
    """All that a view offers beside data and gradients."""
    activations = view.activations("val")
    means = [value.double().mean().reshape(1) for value in view.buffers.values()]
    return {
        "seen": torch.stack([h.double().square().mean() for h in activations.values()]),
        "logits": view.logits("val").double().square().mean(),
        "mean": torch.cat([*means, torch.zeros(1)]),
        "moved": (view.flat - view.initial).double().norm(),
        "step": torch.tensor(float(view.step)),
    }


@pytest.mark.parametrize("seed", ["0", "0:2"])
def test_activations_are_those_of_an_evaluation(seed: str) -> None:
    made = images(seed=seed, dropout=0.5, precision="float64", max_steps=3)
    population, _ = trained(made)
    values = measure(made, population, [everything.configured()])
    for member in range(made.num_members):
        fields = {name: column[member] for name, column in made.fields.items()}
        batch = made.task.batch(made.task.index("val", fields), fields, torch.tensor(0))
        module = made.network.materialise(population.flat[member], population.buffers[member])
        h, wanted = batch.inputs.flatten(1), []
        for layer in module.layer:  # type: ignore[union-attr]
            h = layer(h).relu()
            wanted.append(h.square().mean().item())
        np.testing.assert_allclose(values["seen"][member], wanted, rtol=1e-10)
        np.testing.assert_allclose(values["logits"][member], module(batch.inputs).square().mean().item())
    assert (values["moved"] > 0).all() and (values["step"] == 3).all()
    start = measure(made, initial_population(made), [everything.configured()])
    assert (start["moved"] == 0).all() and (start["step"] == 0).all()


def test_pieces_and_other_probes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = program(seed="0:2", precision="float64")
    population = initial_population(made)
    whole = measure(made, population, [everything.configured()])
    monkeypatch.setattr("epochal.engine.view.EVALUATION_ROWS", 14)
    monkeypatch.setattr("epochal.engine.view.SMALLEST_PIECE", 1)
    pieces = measure(made, population, [everything.configured(label="again"), everything.configured()])
    for column, values in whole.items():
        np.testing.assert_allclose(pieces[column], values, rtol=1e-12)
        assert pieces[f"{column}@again"].tobytes() == pieces[column].tobytes()


def test_buffers_are_the_members_own() -> None:
    made = images(seed="0:2", model="preact_resnet18", width=2, max_steps=2)
    population, _ = trained(made)
    seen = measure(made, population, [everything.configured()])["mean"]
    for member in range(2):
        own = made.network.buffer_layout.unflatten(population.buffers[member])
        np.testing.assert_allclose(seen[member][:-1], [float(b.double().mean()) for b in own.values()])
    assert not np.allclose(seen[0], seen[1])


@epochal.probe(
    columns=("predicted", "slope"), unit="1", low=0.0, high=np.inf, null="0", cost="one pass", source="here"
)
def predicted(options: NoOptions, view: View) -> dict[str, Tensor]:
    """Logits of inputs that are no examples, and how they change with them."""
    inputs = view.data("val").inputs * 0.5
    slope = torch.func.grad(lambda given: view.predict(given).sum())(inputs)
    return {
        "predicted": view.predict(inputs).double().square().mean(),
        "slope": slope.double().square().mean(),
    }


def test_any_inputs_are_predicted_in_evaluation_mode_and_with_their_slope() -> None:
    made = images(seed="0:2", dropout=0.5, precision="float64", max_steps=3)
    population, _ = trained(made)
    values = measure(made, population, [predicted.configured()])
    for member in range(made.num_members):
        fields = {name: column[member] for name, column in made.fields.items()}
        batch = made.task.batch(made.task.index("val", fields), fields, torch.tensor(0))
        module = made.network.materialise(population.flat[member], population.buffers[member])
        inputs = (batch.inputs * 0.5).requires_grad_()
        logits = module(inputs)
        (slope,) = torch.autograd.grad(logits.sum(), inputs)
        np.testing.assert_allclose(values["predicted"][member], logits.square().mean().item(), rtol=1e-10)
        np.testing.assert_allclose(values["slope"][member], slope.square().mean().item(), rtol=1e-10)
