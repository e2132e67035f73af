"""The training loop, as a generator of moments: its consumer decides what is kept, and when to stop."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def train(program: Program, population: Population) -> Iterator[Moment]:
    """Advances ``population`` in place up to ``max_steps``, yielding after every update.

    A fresh population is observed at step 0 first; a restored one continues with its next update, since
    its own step was observed before it was stored. Between two moments the population may be read but
    must not be changed. The loop ends early, at a record, once every member has diverged.
    """
    stepper, observer = Stepper(program), Observer(program)
    snapshots = frozenset(program.snapshots.steps(program.max_steps).tolist())

    def moment() -> Moment:
        step = population.step
        record = observer.measure(population) if observer.is_due(step) else None
        return Moment(step=step, record=record, is_snapshot_due=step in snapshots)

    if population.step == 0:
        yield moment()
    while population.step < program.max_steps:
        stepper.update(population)
        now = moment()
        yield now
        if now.record is not None and not bool(population.is_alive.any()):
            return
