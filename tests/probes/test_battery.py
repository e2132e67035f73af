"""What every probe must pass: its own truths, its declaration, purity, and vmap."""

import math

import numpy as np
import pytest
import torch

from epochal import probes
from epochal.core.values.errors import UserError
from epochal.engine.observe import measure
from epochal.engine.population import initial_population
from tests.engine.programs import program, same_bits

NAMES = probes.names()


@pytest.mark.parametrize("name", NAMES)
def test_its_truths_hold(name: str) -> None:
    from importlib import import_module

    cases = list(import_module(f"epochal.probes.{name}").truth())
    assert cases, "a probe carries at least one truth"
    for view, expected in cases:
        measured = probes.find(name).measure(view)
        assert {column: pytest.approx(value, rel=1e-6) for column, value in expected.items()} == {
            column: float(value) for column, value in measured.items()
        }


@pytest.mark.parametrize("name", NAMES)
def test_its_declaration_is_complete_and_kept(name: str) -> None:
    probe = probes.find(name)
    assert probe.name == name and probe.cost and probe.source and probe.measure.__doc__
    made = program(seed="0:2", precision="float64")
    seen = measure(made, initial_population(made), [probe])
    assert list(seen) == [column.name for column in probe.columns]
    for column in probe.columns:
        assert column.unit and column.null
        assert seen[column.name].shape == (2,) and seen[column.name].dtype == np.float64
        assert (column.low <= seen[column.name]).all() and (seen[column.name] <= column.high).all()


@pytest.mark.parametrize("name", NAMES)
def test_members_are_measured_apart(name: str) -> None:
    """The same value in a pack, under vmap, as alone."""
    pack = program(seed="0:3", precision="float64")
    together = measure(pack, initial_population(pack), [probes.find(name)])
    for seed in range(3):
        alone = program(seed=seed, precision="float64")
        single = measure(alone, initial_population(alone), [probes.find(name)])
        for column, values in together.items():
            assert values[seed] == pytest.approx(single[column][0], rel=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_pure(name: str) -> None:
    made = program(seed="0:2")
    population = initial_population(made)
    before, generator = population.flat.clone(), torch.random.get_rng_state()
    first = measure(made, population, [probes.find(name)])
    second = measure(made, population, [probes.find(name)])
    assert same_bits(before, population.flat) and torch.equal(generator, torch.random.get_rng_state())
    assert all(first[column].tobytes() == second[column].tobytes() for column in first)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_that_are_not_finite_give_a_value_and_no_exception(name: str) -> None:
    made = program(seed="0:2")
    population = initial_population(made)
    population.flat[1] = math.nan
    values = measure(made, population, [probes.find(name)])
    assert all(math.isfinite(column[0]) for column in values.values())


def test_an_unknown_probe_offers_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown probe weight_nrom: did you mean 'weight_norm'"):
        probes.find("weight_nrom")
