"""A check with its outcome, and the small populations that checks are made on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from epochal.core.tensors.probe import Probe
from epochal.core.values.errors import UserError
from epochal.engine.program import Program
from epochal.experiments.catalog import find
from epochal.experiments.own_code import describe, place_of

SMALL: dict[str, Any] = {
    "modulus": 7, "width": 8, "heads": 2, "batch_size": 8, "max_steps": 5, "threads": 1, "device": "cpu",
    "learning_rate": 3e-3, "probes": "loss",
}  # fmt: skip

CUED: dict[str, Any] = {
    "data": "digits", "n_train": 60, "channels": "rgb", "model": "convnet", "width": 4, "depth": 2,
    "batch_size": 8, "max_steps": 5, "threads": 1, "device": "cpu", "probes": "loss",
    "cue": "patch", "patch_size": 2, "rho": 0.5,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one check went; ``problem`` is one line, empty where it passed."""

    check: str
    problem: str


def outcome(check: str, function: Callable[[], None]) -> Outcome:
    """Runs a check; whatever it raises is its problem."""
    try:
        function()
    except (AssertionError, UserError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return Outcome(check=check, problem="; ".join(lines[:4]) or "it does not hold")
    except Exception as error:  # own code may raise anything, and the user has to know where
        return Outcome(check=check, problem=place_of(error) or describe(error))
    return Outcome(check=check, problem="")


def population_of(settings: Mapping[str, object]) -> Program:
    """A small population of ``algorithmic``, all members in one pack."""
    return _built("algorithmic", {**SMALL, **settings})


def population_for(probe: Probe, settings: Mapping[str, object]) -> Program:
    """A small population that a probe can measure: of tokens, or of images with a cue.

    Raises:
        UserError: what the probe says of the latter, where it takes neither.
    """
    made = _built("algorithmic", {**SMALL, **settings})
    try:
        probe.configured().check(made.task)
    except UserError:
        made = _built("images", {**CUED, **settings})
        probe.configured().check(made.task)
    return made


def _built(name: str, settings: Mapping[str, object]) -> Program:
    experiment = find(name)
    made: Program = experiment.build(experiment.request(settings).members)
    return made


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Also where both are NaN."""
    return torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))
