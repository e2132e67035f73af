"""The training loop, as a generator of moments: its consumer decides what is kept, and when to stop."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from epochal.engine.observe import Observer
from epochal.engine.population import Population
from epochal.engine.program import Program
from epochal.engine.step import Stepper


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The population stands at ``step``. ``record`` holds what was measured there, if anything was due."""

    step: int
    record: dict[str, NDArray[np.float64]] | None
    is_snapshot_due: bool


def train(program: Program, population: Population, *, is_fresh: bool = False) -> Iterator[Moment]:
    """Advances ``population`` in place up to ``max_steps``, yielding after every update.

    A fresh population (at step 0, or one that ``is_fresh`` at a later step) is observed in full first; a
    restored one continues with its next update, since its own step was observed before it was stored. Between
    two moments the population may be read but must not be changed. Members that stop early are observed in
    full once more and leave after that moment. The loop ends early, at a record, once every member has
    diverged or stopped.
    """
    snapshots = frozenset(program.steps_of(program.snapshots))
    judged = _judged_steps(program)
    _leave(population)
    if not len(population.rows):
        return
    active = program.of_members(population.rows)
    stepper, observer = Stepper(active), Observer(active)
    if is_fresh or population.step == 0:
        yield Moment(step=population.step, record=observer.measure_all(population), is_snapshot_due=True)
    while population.step < program.max_steps:
        stepper.update(population)
        step = population.step
        stops = _judge(active, population, observer) if step in judged else None
        is_last = stops is not None and bool(stops.any())
        if stops is not None:
            population.stopped_at[population.rows[stops]] = step  # before the moment: a stored state has it
        record = observer.measure_all(population) if is_last else observer.measure_if_due(population)
        yield Moment(step=step, record=record, is_snapshot_due=is_last or step in snapshots)
        if is_last:
            _leave(population)
            if not len(population.rows):
                return
            active = program.of_members(population.rows)
            stepper, observer = Stepper(active), Observer(active)
        if record is not None and not bool(population.is_alive.any()):
            return


def _judged_steps(program: Program) -> frozenset[int]:
    """Steps at which members may stop early: the schedule's own, the same in a longer run."""
    if program.stopping is None:
        return frozenset()
    later = program.max_steps + 1
    return frozenset(program.steps_of(program.stopping.schedule, later)) - {0, later}


def _judge(program: Program, population: Population, observer: Observer) -> Bool[Tensor, " M"]:
    """Who stops now, by the evaluation that belongs to stopping alone."""
    stopping = program.stopping
    assert stopping is not None
    values = torch.from_numpy(observer.measure(population, [stopping.probe])[stopping.column])
    stops, population.stop_best, population.stop_waited = stopping.judge(
        values.to(population.stop_best), population.stop_best, population.stop_waited
    )
    return stops & population.is_alive


def _leave(population: Population) -> None:
    """Those who have stopped leave the matrix."""
    stays = population.stopped_at[population.rows] < 0
    if not bool(stays.all()):
        vars(population).update(vars(population.kept(torch.nonzero(stays).squeeze(1))))
