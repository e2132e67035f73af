"""Small populations for the engine's tests."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from epochal.engine.population import Population, initial_population
from epochal.engine.program import Program
from epochal.engine.train import Moment, train
from epochal.experiments.catalog import find

SMALL: dict[str, Any] = {
    "modulus": 11, "width": 16, "heads": 2, "max_steps": 50, "record_every": 10, "threads": 1,
    "learning_rate": 3e-3, "weight_decay": 0.3, "gradient_clip": 0.5,
}  # fmt: skip


def program(**settings: Any) -> Program:
    """A population of ``algorithmic``, all members in one pack."""
    return built("algorithmic", SMALL | settings)


def images(**settings: Any) -> Program:
    """A population of ``images`` on 100 of the digits, all members in one pack."""
    small = {"n_train": 100, "width": 8, "batch_size": 20, "max_steps": 12, "record_every": 4, "threads": 1}
    return built("images", small | settings)


def built(name: str, settings: dict[str, Any]) -> Program:
    experiment = find(name)
    made: Program = experiment.build(experiment.request(settings).members)
    return made


def trained(
    made: Program, *, change: Callable[[Population], None] = lambda population: None
) -> tuple[Population, list[Moment]]:
    """The population after all steps, and every moment on the way; ``change`` tampers with the start."""
    population = initial_population(made)
    change(population)
    moments = list(train(made, population))
    return population, moments


def records(moments: Sequence[Moment], column: str) -> np.ndarray[Any, Any]:
    """``[T, M]``."""
    return np.stack([m.record[column] for m in moments if m.record is not None and column in m.record])


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.view(torch.uint8), b.view(torch.uint8))
