"""What every probe must pass: its own truths, its declaration, members apart, purity, odd parameters."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from epochal.check.case import Outcome, outcome, population_for, same_bits
from epochal.core.tensors.probe import ConfiguredProbe, Probe
from epochal.core.tensors.view import View
from epochal.core.values.options import Options
from epochal.engine.observe import measure
from epochal.engine.population import initial_population

Truth = tuple[Options, View, Mapping[str, Any]]


def check_probe(probe: Probe) -> list[Outcome]:
    """Every check of this kind."""

    def run(check: Callable[[Probe], None]) -> Callable[[], None]:
        return lambda: check(probe)

    return [outcome(name, run(check)) for name, check in CHECKS.items()]


def truths_of(probe: Probe) -> Iterator[Truth]:
    """The cases of ``truth()`` beside the probe: ``(view, expected)`` or ``(options, view, expected)``.

    A file with several probes has one ``truth``; a case belongs to the probe with its columns.
    """
    truth = getattr(sys.modules[probe.measure.__module__], "truth", None)
    for case in truth() if truth else ():
        options, view, expected = case if len(case) == 3 else (probe.options(), *case)
        if not isinstance(options, probe.options):
            continue
        if set(expected) == {column.name for column in probe.columns_of(options)}:
            yield options, view, expected


def small(probe: Probe) -> ConfiguredProbe:
    """With the options of ``small()`` beside the probe, where its defaults would take long; a file with
    several probes has none."""
    options = getattr(sys.modules[probe.measure.__module__], "small", None)
    return probe.configured(options() if options else None)


def its_truths_hold(probe: Probe) -> None:
    cases = list(truths_of(probe))
    assert cases, f"there is no truth() beside {probe.name} that yields a view and what {probe.name} is there"
    for options, view, expected in cases:
        measured = probe.configured(options).measure(view)
        for column, value in expected.items():
            seen = np.asarray(measured[column].double())
            wanted = np.asarray(value, dtype=np.float64)
            assert seen.shape == wanted.shape and np.allclose(
                seen, wanted, rtol=1e-6, atol=1e-12, equal_nan=True
            ), f"{column} is {seen.tolist()}, its truth says {wanted.tolist()}"


def its_declaration_is_complete_and_kept(probe: Probe) -> None:
    for what, text in {
        "cost": probe.cost,
        "source": probe.source,
        "a docstring": probe.measure.__doc__,
    }.items():
        assert text and text.strip(), f"{probe.name} declares no {what}"
    made = population_for(probe, {"seed": "0:2", "precision": "float64"})
    seen = measure(made, initial_population(made), [small(probe)])
    for column in small(probe).columns:
        assert column.unit and column.null, f"{column.name} declares no unit or no null"
        values = seen[column.name]
        assert values.shape[:1] == (2,) and values.ndim == 1 + column.rank
        assert ((column.low <= values) & (values <= column.high)).all(), (
            f"{column.name} is {values.tolist()}, outside [{column.low}, {column.high}]"
        )


def members_are_measured_apart(probe: Probe) -> None:
    """The same value in a pack, under vmap, as alone."""
    pack = population_for(probe, {"seed": "0:3", "precision": "float64"})
    together = measure(pack, initial_population(pack), [small(probe)])
    for seed in range(3):
        alone = population_for(probe, {"seed": seed, "precision": "float64"})
        single = measure(alone, initial_population(alone), [small(probe)])
        for column, values in together.items():
            assert np.allclose(values[seed], single[column][0], rtol=1e-10, atol=1e-12, equal_nan=True), (
                f"{column} of member {seed} is {values[seed].tolist()} in a pack of three, "
                f"{single[column][0].tolist()} alone"
            )


def it_is_pure(probe: Probe) -> None:
    made = population_for(probe, {"seed": "0:2"})
    population = initial_population(made)
    before, generator = population.flat.clone(), torch.random.get_rng_state()
    first = measure(made, population, [small(probe)])
    second = measure(made, population, [small(probe)])
    assert same_bits(before, population.flat), f"{probe.name} changes the parameters"
    assert torch.equal(generator, torch.random.get_rng_state()), f"{probe.name} moves the global generator"
    for column in first:
        assert first[column].tobytes() == second[column].tobytes(), f"{column} differs when measured again"


def parameters_that_are_not_finite_give_a_value(probe: Probe) -> None:
    """And change nothing for the member beside them."""
    made = population_for(probe, {"seed": "0:2"})
    population = initial_population(made)
    healthy = measure(made, population, [small(probe)])
    population.flat[1] = math.nan
    broken = measure(made, population, [small(probe)])
    for column in healthy:
        assert healthy[column][0].tobytes() == broken[column][0].tobytes(), (
            f"{column} of one member changes when its neighbour is not finite"
        )


CHECKS: dict[str, Callable[[Probe], None]] = {
    "its truths hold": its_truths_hold,
    "its declaration is complete and kept": its_declaration_is_complete_and_kept,
    "members are measured apart": members_are_measured_apart,
    "it is pure": it_is_pure,
    "parameters that are not finite give a value": parameters_that_are_not_finite_give_a_value,
}
