"""What a request will cost, before it is trained: members, packs, memory, disk, time."""

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from epochal.core.values.executor import Executor, InProcess
from epochal.core.values.request import Request
from epochal.engine.observe import measure
from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.experiments.catalog import Experiment
from epochal.experiments.own_code import explained
from epochal.launch.layout import choose, workers
from epochal.launch.numerics import numerics
from epochal.launch.packs import Pack, build
from epochal.launch.trial import try_own_code

TIMED_SECONDS = 2.0
"""Wall time spent on trial updates per timed pack; they train a throwaway population."""

MOST_TIMED = 4
"""Packs that are timed among those that differ in the size of their training set only."""

BYTES_PER_RECORD = 120
"""Of a record line, besides 20 per column."""


@dataclass(frozen=True, kw_only=True)
class PackPlan:
    """One pack: sizes in bytes, times in seconds, all estimates but the counts."""

    members: int
    parameters: int
    batch_size: int
    steps: int
    executor: InProcess
    step_seconds: float
    record_seconds: float
    num_records: int
    state_bytes: int
    disk_bytes: int

    @property
    def seconds(self) -> float:
        """All updates and all records, one after the other."""
        return self.steps * self.step_seconds + self.record_seconds


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole request; ``peak_bytes`` is the largest memory of this process during the trial updates."""

    packs: Sequence[PackPlan]
    executor: Executor
    side_by_side: int
    peak_bytes: int

    @property
    def seconds(self) -> float:
        return sum(pack.seconds for pack in self.packs) / self.side_by_side

    @property
    def disk_bytes(self) -> int:
        return sum(pack.disk_bytes for pack in self.packs)


@dataclass(frozen=True, kw_only=True)
class _Sized:
    """A pack with what tells whether it costs as much as another."""

    pack: Pack
    program: Program

    @property
    def kind(self) -> tuple[object, ...]:
        program = self.program
        is_full = program.batch_size is None
        return (
            program.num_members,
            program.network.layout.size,
            program.batch_size,
            is_full,
            self.pack.executor,
        )

    @property
    def train_size(self) -> int:
        return self.program.task.size("train")


def plan(experiment: Experiment, request: Request) -> Plan:
    """Builds every pack and times a few updates and records; stores and keeps nothing.

    Of packs that differ in the size of their training set only, a few are timed and the others lie between.
    With ``executor=processes`` times are those of one thread, as many packs at a time as there are cores.

    Raises:
        UserError: a pack cannot be built.
    """
    with numerics(request.spec), explained():
        layout = choose(experiment, request)
        side_by_side = 1
        if layout.executor == "processes":
            side_by_side = min(workers(request.spec.threads), len(layout.packs))
            torch.set_num_threads(1)  # put back by numerics
        packs = [_Sized(pack=pack, program=build(experiment, request, pack)) for pack in layout.packs]
        if request.spec.code:
            try_own_code(packs[0].program)
        kinds = {pack.kind: [p for p in packs if p.kind == pack.kind] for pack in packs}
        planned = {sized.pack.number: pack for alike in kinds.values() for sized, pack in _planned(alike)}
    return Plan(
        packs=[planned[number] for number in sorted(planned)],
        executor=layout.executor,
        side_by_side=side_by_side,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _planned(alike: Sequence[_Sized]) -> list[tuple[_Sized, PackPlan]]:
    """Plans of packs of one kind, times interpolated over the size of the training set."""
    by_size = {pack.train_size: pack for pack in alike}
    sizes = sorted(by_size)
    places = sorted({round(place) for place in np.linspace(0, len(sizes) - 1, MOST_TIMED)})
    timed = {sizes[place]: _timed(by_size[sizes[place]].program) for place in places}
    steps, records = zip(*timed.values(), strict=True)

    def between(values: Sequence[float], size: int) -> float:
        return float(np.interp(size, list(timed), values))

    return [
        (pack, _plan_pack(pack, between(steps, pack.train_size), between(records, pack.train_size)))
        for pack in alike
    ]


def _timed(program: Program) -> tuple[float, float]:
    """Seconds of one update, and of all records."""
    population, stepper = initial_population(program), Stepper(program)
    stepper.update(population)
    steps = _times(lambda: stepper.update(population))
    dues = _dues(program)
    # Probes that share a pass are timed together: those that are due as often as each other.
    seconds = 0.0
    for due in sorted(set(dues.values())):
        together = [probe for probe, _ in program.probes if dues[probe.name] == due]
        seconds += due * statistics.median(_times(partial(measure, program, population, together)))
    return statistics.median(steps), seconds


def _plan_pack(sized: _Sized, step_seconds: float, record_seconds: float) -> PackPlan:
    program = sized.program
    # Shapes are all that counts: no number is drawn.
    row = torch.empty(program.num_members, program.network.layout.size, dtype=program.dtype, device="meta")
    stored = row.nbytes + program.num_members * program.network.buffer_layout.size * row.element_size()
    state = stored + sum(tensor.nbytes for tensor in program.transform.init(row).values())
    num_records = max(_dues(program).values(), default=0)
    columns = sum(len(probe.columns) for probe, _ in program.probes)
    records = num_records * program.num_members * (BYTES_PER_RECORD + 20 * columns)
    return PackPlan(
        members=program.num_members,
        parameters=program.network.layout.size,
        batch_size=program.batch_size or sized.train_size,
        steps=program.max_steps,
        executor=sized.pack.executor,
        step_seconds=step_seconds,
        record_seconds=record_seconds,
        num_records=num_records,
        state_bytes=state,
        disk_bytes=2 * state + len(program.steps_of(program.snapshots)) * stored + 2 * records,
    )


def _dues(program: Program) -> dict[str, int]:
    """How often each probe is due."""
    return {probe.name: len(program.steps_of(when)) for probe, when in program.probes}


def _times(action: Callable[[], object]) -> list[float]:
    """Seconds of each of several calls, until enough of them or enough time."""
    seconds: list[float] = []
    while len(seconds) < 3 or (sum(seconds) < TIMED_SECONDS and len(seconds) < 50):
        start = time.perf_counter()
        action()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return seconds
