"""What a request will cost, before it is trained: members, packs, memory, disk, time."""

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from epochal.core.values.request import Request
from epochal.engine.observe import measure
from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.experiments.catalog import Experiment
from epochal.launch.layout import choose
from epochal.launch.packs import build

TIMED_SECONDS = 2.0
"""Wall time spent on trial updates per pack; they train a throwaway population."""

BYTES_PER_RECORD = 120
"""Of a record line, besides 20 per column."""


@dataclass(frozen=True, kw_only=True)
class PackPlan:
    """One pack: sizes in bytes, times in seconds, all estimates but the counts."""

    members: int
    parameters: int
    batch_size: int
    steps: int
    step_seconds: float
    record_seconds: float
    num_records: int
    state_bytes: int
    disk_bytes: int

    @property
    def seconds(self) -> float:
        """All updates and all records, one after the other."""
        return self.steps * self.step_seconds + self.num_records * self.record_seconds


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole request; ``peak_bytes`` is the largest memory of this process during the trial updates."""

    packs: Sequence[PackPlan]
    peak_bytes: int

    @property
    def seconds(self) -> float:
        return sum(pack.seconds for pack in self.packs)

    @property
    def disk_bytes(self) -> int:
        return sum(pack.disk_bytes for pack in self.packs)


def plan(experiment: Experiment, request: Request) -> Plan:
    """Builds every pack and times a few updates and records of it; stores and keeps nothing.

    Raises:
        UserError: a pack cannot be built.
    """
    packs = [_plan_pack(build(experiment, request, pack)) for pack in choose(experiment, request).packs]
    return Plan(packs=packs, peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def _plan_pack(program: Program) -> PackPlan:
    population, stepper = initial_population(program), Stepper(program)
    stepper.update(population)
    steps = _times(lambda: stepper.update(population))
    probes = [probe for probe, _ in program.probes]
    dues = {probe.name: len(when.steps(program.max_steps)) for probe, when in program.probes}
    # Probes that share a pass are timed together: those that are due as often as each other.
    rounds = {
        due: [probe for probe in probes if dues[probe.name] == due] for due in sorted(set(dues.values()))
    }
    record_seconds = 0.0
    for due, together in rounds.items():
        record_seconds += due * statistics.median(_times(partial(measure, program, population, together)))
    num_records = max(dues.values(), default=0)
    state = sum(tensor.nbytes for tensor in population.tensors().values())
    stored = population.flat.nbytes + population.buffers.nbytes
    columns = sum(len(probe.columns) for probe in probes)
    records = num_records * program.num_members * (BYTES_PER_RECORD + 20 * columns)
    return PackPlan(
        members=program.num_members,
        parameters=program.network.layout.size,
        batch_size=program.batch_size or program.task.size("train"),
        steps=program.max_steps,
        step_seconds=statistics.median(steps),
        record_seconds=record_seconds / max(1, num_records),
        num_records=num_records,
        state_bytes=state,
        disk_bytes=2 * state + len(program.snapshots.steps(program.max_steps)) * stored + 2 * records,
    )


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
