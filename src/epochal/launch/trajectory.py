"""Snapshots of a member measured several at a time, by probes that can."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from epochal.core.tensors.probe import ConfiguredProbe
from epochal.core.tensors.task import Split
from epochal.engine.observe import SplitOrders, split_orders
from epochal.engine.population import Population
from epochal.engine.program import Program
from epochal.engine.view import LiveView
from epochal.experiments.own_code import explained
from epochal.launch.stored_population import population_at
from epochal.store.run import Run


@dataclass(frozen=True, kw_only=True)
class Values:
    """What a probe says of these members at a step: names to ``[M, ...]``."""

    members: Sequence[int]
    step: int
    columns: Mapping[str, NDArray[np.float64]]


def along_members(
    run: Run,
    probe: ConfiguredProbe,
    program: Program,
    start: Population,
    pack: int,
    members: Sequence[int],
    steps: Sequence[int],
    there: Set[tuple[int, int]],
) -> Iterator[Values]:
    """Member after member, of each the snapshots that are not there yet and where it had not diverged.

    Snapshots are read when the probe asks for them: no more of them are held than it takes at a time.
    """
    orders = split_orders(program)
    for place, member in enumerate(members):
        seen: list[int] = []

        def views(place: int = place, member: int = member, seen: list[int] = seen) -> Iterator[LiveView]:
            for step in steps:
                if (member, step) in there:
                    continue
                population, diverged = population_at(run, program, start, pack, members, step)
                if member not in diverged:
                    seen.append(step)
                    yield _view(program, population, place, orders)

        values = probe.along(views(), with_kept=True)
        for number in range(len(steps)):
            with explained(), torch.no_grad():
                found: dict[str, Any] | None = next(values, None)
            if found is None:
                break
            columns = {name: value.cpu().double().numpy()[None] for name, value in found.items()}
            yield Values(members=[member], step=seen[number], columns=columns)


def _view(program: Program, population: Population, place: int, orders: SplitOrders) -> LiveView:
    own: dict[Split, torch.Tensor] = {split: order[place] for split, order in orders.own.items()}
    return LiveView(
        program, step=population.step, flat=population.flat[place], buffers=population.buffers[place],
        initial=population.initial[place],
        fields={name: values[place] for name, values in program.fields.items()},
        orders=dict(orders.shared) | own,
        memory={name: values[place] for name, values in population.memory.items()},
        objective={name: values[place] for name, values in population.objective.items()},
    )  # fmt: skip
