"""Own code and rules are tried before a run directory exists: what cannot train leaves nothing behind."""

import torch

from epochal.core.tensors import random
from epochal.core.values.errors import UserError
from epochal.engine.observe import measure
from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.experiments.own_code import explained


def try_own_code(program: Program) -> None:
    """One update and one record of a throwaway population.

    Raises:
        UserError: own code fails, gives logits of another shape, or draws random numbers of its own.
    """
    before = torch.random.get_rng_state()
    with explained():
        population = initial_population(program)
        again = initial_population(program)
        if not torch.equal(population.flat, again.flat):
            raise UserError(
                "the own model starts differently each time: its constructor draws from numpy or random; "
                "draw from torch"
            )
        _check_network(program)
        Stepper(program).update(population)
        measure(program, population, [probe for probe, _ in program.probes])
    if not torch.equal(before, torch.random.get_rng_state()):
        raise UserError(
            "own code draws from torch's global generator while it trains, so it could not be resumed: use "
            "nn.Dropout in a model (not F.dropout), and epochal.core.tensors.random with the key elsewhere"
        )


def try_rule(program: Program) -> None:
    """One update of a throwaway population: a rule learns from the network whether it can train it.

    Raises:
        UserError: it cannot.
    """
    Stepper(program).update(initial_population(program))


def _check_network(program: Program) -> None:
    population = initial_population(program)
    fields = {name: values[0] for name, values in program.fields.items()}
    index = program.task.index("train", fields)[:2]
    batch = program.task.batch(index, fields, random.key(0, "trial"))
    network = program.network
    logits = network(
        network.layout.unflatten(population.flat[0]),
        network.buffer_layout.unflatten(population.buffers[0]),
        batch.inputs,
    )
    wanted = (*batch.targets.shape, program.task.num_classes)
    given: object = logits  # a foreign module may give anything
    shape = tuple(given.shape) if isinstance(given, torch.Tensor) else type(given).__name__
    if shape != wanted:
        raise UserError(
            f"the own model gives {shape} for inputs {tuple(batch.inputs.shape)}; expected logits {wanted}: "
            "one row per example (and position of its answer), one column per class"
        )
    if logits.requires_grad:  # nothing that was given does, so it found a parameter of its own
        raise UserError(
            "the own model uses parameters that are not its attributes, so they cannot be trained: keep "
            "lists of them in nn.ParameterList or nn.ModuleList"
        )
