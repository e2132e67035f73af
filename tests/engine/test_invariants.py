"""Invariants I1, I3 and I4 of the design: alone or in a pack, watched or not, next to whom."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from epochal.engine.population import Population, initial_population
from epochal.engine.train import train
from tests.engine.programs import program, records, same_bits, trained

BATCHES = ["full", 16]


@pytest.mark.parametrize("batch_size", BATCHES)
@pytest.mark.parametrize("depth", [1, 2])
def test_i1_a_member_alone_is_the_member_in_a_pack(batch_size: object, depth: int) -> None:
    common = {"batch_size": batch_size, "depth": depth, "precision": "float64"}
    pack, _ = trained(program(seed="0:3", weight_decay="0,0.5", **common))
    for place, (decay, seed) in enumerate([(0.0, 0), (0.0, 1), (0.0, 2), (0.5, 0), (0.5, 1), (0.5, 2)]):
        alone, _ = trained(program(seed=seed, weight_decay=decay, **common))
        torch.testing.assert_close(alone.flat[0], pack.flat[place], rtol=1e-9, atol=1e-11)


def test_i1_float32_losses_agree_to_a_thousandth() -> None:
    _, pack = trained(program(seed="0:3", batch_size=16))
    _, alone = trained(program(seed=1, batch_size=16))
    np.testing.assert_allclose(
        records(alone, "train_loss")[:, 0], records(pack, "train_loss")[:, 1], rtol=1e-3
    )


@pytest.mark.parametrize("batch_size", BATCHES)
def test_i1_the_same_pack_twice_is_the_same_bits(batch_size: object) -> None:
    first, watched = trained(program(seed="0:3", batch_size=batch_size))
    second, again = trained(program(seed="0:3", batch_size=batch_size))
    assert same_bits(first.flat, second.flat)
    for column in ("train_loss", "val_accuracy", "gradient_norm"):
        assert records(watched, column).tobytes() == records(again, column).tobytes()


@pytest.mark.parametrize("batch_size", BATCHES)
def test_i3_watching_changes_nothing(batch_size: object) -> None:
    schedules: list[dict[str, Any]] = [
        {"probes": ""},
        {"probes": "loss"},
        {"record_every": 1},
        {"record_every": "7+log:5", "probe_every.gradient_norm": "3"},
    ]
    ends = [trained(program(seed="0:3", batch_size=batch_size, **schedule))[0] for schedule in schedules]
    for end in ends[1:]:
        for name, tensor in end.tensors().items():
            assert same_bits(tensor, ends[0].tensors()[name]), name


def explode(member: int) -> Callable[[Population], None]:
    def change(population: Population) -> None:
        population.flat[member] *= 1e30

    return change


def test_i4_a_diverging_member_changes_no_bit_of_its_neighbours() -> None:
    made = program(seed="0:3", batch_size=16)
    healthy, calm = trained(made)
    broken, wild = trained(made, change=explode(1))
    for member in (0, 2):
        assert same_bits(broken.flat[member], healthy.flat[member])
        for column in ("train_loss", "weight_norm"):
            assert records(wild, column)[:, member].tobytes() == records(calm, column)[:, member].tobytes()


def test_a_diverged_member_is_frozen_and_marked() -> None:
    made = program(seed="0:3", batch_size=16)
    start = initial_population(made).flat[1] * 1e30
    population, _ = trained(made, change=explode(1))
    outcomes = population.outcomes(made.max_steps)
    assert [outcome.status for outcome in outcomes] == ["finished", "diverged", "finished"]
    assert (outcomes[1].step, outcomes[1].reason) == (0, "the loss is not finite")
    assert same_bits(population.flat[1], start)


def test_an_update_that_is_not_finite_is_told_from_a_loss() -> None:
    population, _ = trained(program(seed="0:2", learning_rate="3e-3,1e3", weight_decay=1e300, max_steps=5))
    reasons = {outcome.reason for outcome in population.outcomes(5)}
    assert reasons == {"the update is not finite"}


def test_training_ends_early_once_everyone_has_diverged() -> None:
    made = program(seed="0:2", max_steps=1000)

    def change(population: Population) -> None:
        population.flat *= 1e30

    population, moments = trained(made, change=change)
    assert population.step == 10 and moments[-1].record is not None
    assert {outcome.status for outcome in population.outcomes(1000)} == {"diverged"}


@pytest.mark.parametrize("batch_size", BATCHES)
@pytest.mark.parametrize("pause", [1, 23, 49])
@pytest.mark.parametrize("executor", ["vmap", "loop"])
def test_a_restored_population_continues_bit_for_bit(batch_size: object, pause: int, executor: str) -> None:
    made = program(seed="0:2", batch_size=batch_size, executor=executor, dropout=0.1)
    whole, all_moments = trained(made)
    population = initial_population(made)
    for moment in train(made, population):
        if moment.step == pause:
            break
    stored = {name: tensor.clone() for name, tensor in population.tensors().items()}
    resumed = initial_population(made).restored(pause, stored)
    rest = list(train(made, resumed))
    assert [moment.step for moment in rest] == list(range(pause + 1, made.max_steps + 1))
    assert all(same_bits(tensor, whole.tensors()[name]) for name, tensor in resumed.tensors().items())
    late = [moment for moment in all_moments if moment.step > pause]
    assert records(rest, "val_loss").tobytes() == records(late, "val_loss").tobytes()


def test_no_code_path_touches_the_global_generators() -> None:
    torch_before, numpy_before = torch.random.get_rng_state(), str(np.random.get_state())  # noqa: NPY002
    trained(program(seed="0:2", batch_size=16))
    assert torch.equal(torch_before, torch.random.get_rng_state())
    assert numpy_before == str(np.random.get_state())  # noqa: NPY002
