"""A check with its outcome, and the small populations that checks are made on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from epochal.core.values.errors import UserError
from epochal.engine.program import Program
from epochal.experiments.catalog import find
from epochal.experiments.own_code import describe, place_of

SMALL: dict[str, Any] = {
    "modulus": 7, "width": 8, "heads": 2, "batch_size": 8, "max_steps": 5, "threads": 1, "device": "cpu",
    "learning_rate": 3e-3, "probes": "loss",
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


SMALL_IMAGES: dict[str, Any] = {
    "n_train": 40, "width": 8, "batch_size": 8, "max_steps": 5, "threads": 1, "device": "cpu",
    "probes": "loss",
}  # fmt: skip


def population_of(settings: Mapping[str, object], experiment: str = "algorithmic") -> Program:
    """A small population of ``algorithmic``, or of ``images``, all members in one pack."""
    found = find(experiment)
    small = SMALL_IMAGES if experiment == "images" else SMALL
    made: Program = found.build(found.request({**small, **settings}).members)
    return made


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Also where both are NaN."""
    return torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))
