"""Measures all members with the probes that are due."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from epochal.core.tensors.probe import ConfiguredProbe
from epochal.core.tensors.task import Split
from epochal.engine.members import for_members
from epochal.engine.population import Population
from epochal.engine.program import Program
from epochal.engine.view import LiveView

SPLITS: tuple[Split, ...] = ("train", "val")


class Observer:
    """Applies probes to a population without touching it."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._due = {probe.name: frozenset(program.steps_of(schedule)) for probe, schedule in program.probes}
        self._steps = frozenset().union(*self._due.values())
        self._orders = split_orders(program)  # sorting a large split takes as long as a small evaluation

    def measure_if_due(self, population: Population) -> dict[str, NDArray[np.float64]] | None:
        """Column to values ``[M]``, or ``[M, K]`` of an array, of every probe due; None where none is."""
        if population.step not in self._steps:
            return None
        due = [probe for probe, _ in self._program.probes if population.step in self._due[probe.name]]
        return self.measure(population, due)

    def measure_all(self, population: Population) -> dict[str, NDArray[np.float64]]:
        """What every probe says, due or not."""
        return self.measure(population, [probe for probe, _ in self._program.probes])

    def measure(
        self, population: Population, probes: Sequence[ConfiguredProbe]
    ) -> dict[str, NDArray[np.float64]]:
        """What these probes say."""
        return measure(self._program, population, probes, orders=self._orders)


@dataclass(frozen=True, kw_only=True)
class SplitOrders:
    """The examples of the splits that probes usually ask for: the same for all members, or each member's."""

    shared: Mapping[Split, Int64[Tensor, " _"]]
    own: Mapping[Split, Int64[Tensor, "M _"]]

    def of(self, place: int) -> dict[Split, Int64[Tensor, " _"]]:
        """Those of the member at a place."""
        return {**self.shared, **{split: order[place] for split, order in self.own.items()}}


def split_orders(program: Program) -> SplitOrders:
    """Where all members have the same examples in the same order, inputs are not gathered per member."""
    shared: dict[Split, Tensor] = {}
    own: dict[Split, Tensor] = {}
    members = [
        {name: values[member] for name, values in program.fields.items()}
        for member in range(program.num_members)
    ]
    for split in SPLITS:
        orders = [program.task.index(split, fields) for fields in members]
        if all(torch.equal(order, orders[0]) for order in orders):
            shared[split] = orders[0]
        else:
            own[split] = torch.stack(orders)
    return SplitOrders(shared=shared, own=own)


def measure(
    program: Program,
    population: Population,
    probes: Sequence[ConfiguredProbe],
    *,
    orders: SplitOrders | None = None,
    with_kept: bool = False,
) -> dict[str, NDArray[np.float64]]:
    """Column to values ``[M]``, or ``[M, K]`` of an array; ``with_kept``, also what is kept beside tables.

    All probes share one pass over members, hence data and logits. ``orders`` are those of
    :func:`split_orders`, where the caller keeps them.
    """

    orders = orders or split_orders(program)
    shared = dict(orders.shared)

    def of_member(
        due: Sequence[ConfiguredProbe],
        flat: Tensor,
        buffers: Tensor,
        initial: Tensor,
        fields: Any,
        own: Any,
        memory: Any,
        objective: Any,
        update: Any,
    ) -> Mapping[str, Tensor]:
        view = LiveView(
            program, step=population.step, flat=flat, buffers=buffers, initial=initial, fields=fields,
            orders=shared | own, memory=memory, objective=objective,
            last_update=update.get("last"),
        )  # fmt: skip
        return {
            name: value for probe in due for name, value in probe.measure(view, with_kept=with_kept).items()
        }

    together = [probe for probe in probes if not probe.probe.is_apart]
    apart = [probe for probe in probes if probe.probe.is_apart]
    columns: dict[str, Tensor] = {}
    with torch.no_grad():
        for due, executor in ((together, program.executor), (apart, "loop")):
            if not due:
                continue
            columns |= for_members(functools.partial(of_member, due), program.num_members, executor)(
                population.flat,
                population.buffers,
                population.initial,
                dict(program.fields),
                dict(orders.own),
                population.memory,
                population.objective,
                {} if population.last_update is None else {"last": population.last_update},
            )
    names = [column.name for probe in probes for column in probe.columns]
    names += [name for probe in probes for name in probe.kept] if with_kept else []
    return {name: columns[name].cpu().double().numpy() for name in names}
