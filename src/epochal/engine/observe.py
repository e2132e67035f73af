"""Measures all members with the probes that are due."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epochal.core.tensors.probe import ConfiguredProbe
from epochal.engine.members import for_members
from epochal.engine.population import Population
from epochal.engine.program import Program
from epochal.engine.view import LiveView


class Observer:
    """Applies probes to a population without touching it."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._due = {probe.name: frozenset(program.steps_of(schedule)) for probe, schedule in program.probes}
        self._steps = frozenset().union(*self._due.values())

    def measure_if_due(self, population: Population) -> dict[str, NDArray[np.float64]] | None:
        """Column to values ``[M]``, or ``[M, K]`` of an array, of every probe due; None where none is."""
        if population.step not in self._steps:
            return None
        due = [probe for probe, _ in self._program.probes if population.step in self._due[probe.name]]
        return measure(self._program, population, due)

    def measure_all(self, population: Population) -> dict[str, NDArray[np.float64]]:
        """What every probe says, due or not."""
        return measure(self._program, population, [probe for probe, _ in self._program.probes])


def measure(
    program: Program, population: Population, probes: Sequence[ConfiguredProbe]
) -> dict[str, NDArray[np.float64]]:
    """Column to values ``[M]``, or ``[M, K]`` of an array.

    All probes share one pass over members, hence data and logits.
    """

    def of_member(flat: Tensor, buffers: Tensor, initial: Tensor, fields: Any) -> Mapping[str, Tensor]:
        view = LiveView(
            program, step=population.step, flat=flat, buffers=buffers, initial=initial, fields=fields
        )
        return {name: value for probe in probes for name, value in probe.measure(view).items()}

    with torch.no_grad():
        columns = for_members(of_member, program.num_members, program.executor)(
            population.flat, population.buffers, population.initial, dict(program.fields)
        )
    return {name: values.cpu().double().numpy() for name, values in columns.items()}
