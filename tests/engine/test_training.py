"""What training computes: against plain PyTorch, step by step; batches; schedules; observation."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from epochal.core.tensors.network import Network
from epochal.engine.observe import measure, split_orders
from epochal.engine.order import BatchOrder
from epochal.engine.population import initial_population
from epochal.objectives.cross_entropy import cross_entropy
from epochal.probes import find as find_probe
from tests.engine.programs import images, program, records, trained


@pytest.mark.parametrize("layer_norm", ["none", "pre", "post"])
def test_a_population_trains_as_plain_torch_does(layer_norm: str) -> None:
    """Same start, same batches: an ordinary module with torch's AdamW and clipping ends at the same place."""
    made = program(
        seed="0:2", batch_size=16, precision="float64", layer_norm=layer_norm, weight_decay="0.1,1"
    )
    ends, _ = trained(made)
    start, order = initial_population(made), BatchOrder(made)
    for member in range(made.num_members):
        module = made.network.materialise(start.flat[member], start.buffers[member]).train()
        fields = {name: float(values[member]) for name, values in made.fields.items()}
        optimizer = torch.optim.AdamW(
            module.parameters(), betas=(fields["beta1"], fields["beta2"]), weight_decay=fields["weight_decay"]
        )
        for step in range(made.max_steps):
            own = {name: values[member] for name, values in made.fields.items()}
            batch = made.task.batch(order.indices(step)[member], own, torch.tensor(0))
            optimizer.param_groups[0]["lr"] = fields["learning_rate"] * min(
                1, (step + 1) / fields["warmup_steps"]
            )
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(batch.inputs), batch.targets).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), fields["gradient_clip"])
            optimizer.step()
        expected = made.network.layout.flatten({name: p.detach() for name, p in module.named_parameters()})
        torch.testing.assert_close(ends.flat[member], expected, rtol=1e-9, atol=1e-11)


def test_every_epoch_is_a_fresh_permutation_of_the_training_set() -> None:
    made = program(seed="0:3", batch_size=15, train_fraction=0.5)  # 60 of 121 equations: 4 batches
    order = BatchOrder(made)
    epochs = [torch.cat([order.indices(4 * epoch + k) for k in range(4)], dim=1) for epoch in range(3)]
    fields = {name: values[1] for name, values in made.fields.items()}
    train_set = made.task.index("train", fields).sort().values
    for epoch in epochs:
        assert torch.equal(epoch[1].sort().values, train_set)
    assert not torch.equal(epochs[0], epochs[1])
    assert torch.equal(order.indices(2), BatchOrder(made).indices(2)), "a function of the step alone"


def test_the_remainder_of_an_epoch_is_left_out() -> None:
    made = program(batch_size=25, train_fraction=0.5)
    assert made.steps_per_epoch == 2
    order = BatchOrder(made)
    seen = torch.cat([order.indices(0), order.indices(1)], dim=1)
    assert seen.unique().numel() == 50
    assert order.indices(2).shape == (1, 25)


def test_records_come_when_they_are_due() -> None:
    made = program(max_steps=40, record_every="20", **{"probe_every.weight_norm": "15"})
    _, moments = trained(made)
    assert [m.step for m in moments] == list(range(41))
    assert {m.step for m in moments if m.record and "val_loss" in m.record} == {0, 20, 40}
    assert {m.step for m in moments if m.record and "weight_norm" in m.record} == {0, 15, 30, 40}
    assert {m.step for m in moments if m.is_snapshot_due} == {0, 1, 2, 5, 10, 22, 40}


def test_untrained_networks_guess() -> None:
    """With zero parameters every logit is equal: loss log p, gradient zero but for the read-out."""
    made = program(modulus=11, precision="float64")
    population = initial_population(made)
    population.flat.zero_()
    seen = measure(
        made, population, [find_probe(name).configured() for name in ("loss", "weight_norm", "gradient_norm")]
    )
    truth = {"train_loss": math.log(11), "val_loss": math.log(11), "weight_norm": 0.0, "gradient_norm": 0.0}
    for name, value in truth.items():
        np.testing.assert_allclose(seen[name], value, atol=1e-12)


def test_gradient_norm_is_the_slope_of_the_training_loss() -> None:
    made = program(seed="0:2", precision="float64", gradient_clip=0)
    population = initial_population(made)
    norm = measure(made, population, [find_probe("gradient_norm").configured()])["gradient_norm"]
    gradients = []
    for member in range(2):
        x = population.flat[member].clone().requires_grad_()
        own = {name: values[member] for name, values in made.fields.items()}
        batch = made.task.batch(made.task.index("train", own), own, torch.tensor(0))
        logits = made.network(made.network.layout.unflatten(x), {}, batch.inputs)
        loss = torch.nn.functional.cross_entropy(logits, batch.targets)
        gradients.append(torch.autograd.grad(loss, x)[0].norm().item())
    np.testing.assert_allclose(norm, gradients, rtol=1e-10)


def test_large_splits_are_evaluated_in_pieces_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    made = program(seed="0:2", precision="float64")
    population = initial_population(made)
    probes = [find_probe("loss").configured()]
    whole = measure(made, population, probes)
    monkeypatch.setattr("epochal.engine.view.EVALUATION_ROWS", 14)
    monkeypatch.setattr("epochal.engine.view.SMALLEST_PIECE", 1)
    pieces = measure(made, population, probes)
    np.testing.assert_allclose(pieces["val_loss"], whole["val_loss"], rtol=1e-13)


@pytest.mark.parametrize("objective", ["cross_entropy", "mse", "stablemax", "hinge"])
def test_the_gradient_of_a_large_split_is_taken_in_pieces(
    objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Identical to float64's rounding, and no pass of the network sees more than a piece."""
    made = images(seed="0:2", precision="float64", objective=objective)
    population = initial_population(made)
    probes = [find_probe("gradient_norm").configured()]
    whole = measure(made, population, probes)["gradient_norm"]
    monkeypatch.setattr("epochal.engine.view.EVALUATION_ROWS", 14)
    monkeypatch.setattr("epochal.engine.view.SMALLEST_PIECE", 1)
    rows = []

    def counted(self: Any, params: Any, buffers: Any, inputs: torch.Tensor, *more: Any) -> torch.Tensor:
        rows.append(inputs.shape[0])
        return forward(self, params, buffers, inputs, *more)

    forward = Network.__call__
    monkeypatch.setattr(Network, "__call__", counted)
    pieces = measure(made, population, probes)["gradient_norm"]
    np.testing.assert_allclose(pieces, whole, rtol=1e-12)
    assert max(rows) == 7 and sum(rows) == 2 * 100  # 14 rows for two members; forward, then with backward


def test_an_objective_of_other_inputs_gets_the_split_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(logits_fn: Any, batch: Any, fields: Any, state: Any, key: Any) -> Any:
        return cross_entropy(lambda inputs: logits_fn(inputs + 0.1), batch, fields, state, key)

    made = dataclasses.replace(images(seed="0:2", precision="float64"), objective=shifted)
    population, probes = initial_population(made), [find_probe("gradient_norm").configured()]
    whole = measure(made, population, probes)["gradient_norm"]
    monkeypatch.setattr("epochal.engine.view.EVALUATION_ROWS", 14)
    monkeypatch.setattr("epochal.engine.view.SMALLEST_PIECE", 1)
    np.testing.assert_allclose(measure(made, population, probes)["gradient_norm"], whole, rtol=1e-12)


@pytest.mark.parametrize("executor", ["vmap", "loop"])
def test_splits_are_ordered_once_however_many_records(executor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = program(seed="0:2", max_steps=6, record_every=1, stop_metric="val_loss", stop_patience=9,
                   stop_every=2)  # fmt: skip
    made = dataclasses.replace(made, executor=executor)  # type: ignore[arg-type]
    asked: list[str] = []
    index = type(made.task).index

    def counted(self: Any, split: Any, fields: Any) -> torch.Tensor:
        asked.append(split)
        return index(self, split, fields)

    monkeypatch.setattr(type(made.task), "index", counted)
    _, moments = trained(made)
    assert len([moment for moment in moments if moment.record]) == 7
    assert asked.count("val") == 2, "once per member"
    assert asked.count("train") <= 4, "and once more for the order of batches"


def test_members_with_one_order_of_examples_share_their_inputs() -> None:
    one, own = images(seed="0:2", split_seed=3), images(seed="0:2")
    assert set(split_orders(one).shared) == {"train", "val"} and not split_orders(one).own
    assert set(split_orders(own).own) == {"train", "val"}
    orders = split_orders(own).own["train"]
    for member in range(2):
        fields = {name: values[member] for name, values in own.fields.items()}
        assert torch.equal(orders[member], own.task.index("train", fields))


def test_members_share_no_randomness() -> None:
    """Same everything but the seed: different split, start and order, hence different losses from step 0."""
    _, moments = trained(program(seed="0:4"))
    losses = records(moments, "train_loss")
    assert len(set(losses[0].tolist())) == 4


def test_a_stream_set_apart_is_shared() -> None:
    made = program(seed="0:3", init_seed=5, split_seed=2)
    population = initial_population(made)
    assert torch.equal(population.flat[0], population.flat[1])
    fields = [{name: values[m] for name, values in made.fields.items()} for m in range(2)]
    assert torch.equal(made.task.index("train", fields[0]), made.task.index("train", fields[1]))
    order = BatchOrder(program(seed="0:3", init_seed=5, split_seed=2, batch_size=16))
    assert not torch.equal(order.indices(0)[0], order.indices(0)[1])
