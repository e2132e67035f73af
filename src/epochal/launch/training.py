"""Trains the packs of a run one after the other, each from where it was left, and keeps what they yield."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from epochal.core.values.outcome import Outcome
from epochal.core.values.request import Request
from epochal.engine.population import Population, initial_population
from epochal.engine.program import Program
from epochal.engine.train import Moment, train
from epochal.launch.interrupts import Interrupted, Requests
from epochal.launch.labels import labels_of
from epochal.launch.listener import Listener, Start
from epochal.store.directory import RunDirectory
from epochal.store.records import RecordWriter
from epochal.store.snapshots import save_snapshot
from epochal.store.states import load_state, save_state, state_steps


@dataclass(kw_only=True)
class _Pack:
    """One pack under way."""

    number: int
    members: Sequence[int]
    program: Program
    population: Population
    writer: RecordWriter
    wall_seconds: float
    stored_step: int
    stored_at: float


class Training:
    """All packs of one run; ``wall_seconds`` of training, earlier attempts included."""

    def __init__(
        self,
        directory: RunDirectory,
        request: Request,
        command: str,
        groups: Sequence[Sequence[int]],
        programs: Sequence[Program],
        listener: Listener,
        requests: Requests,
    ) -> None:
        self._directory = directory
        self._request = request
        self._command = command
        self._groups = groups
        self._programs = programs
        self._listener = listener
        self._requests = requests
        self.wall_seconds = 0.0

    def run(self) -> list[Outcome]:
        """Outcome of every member, in the order of the request."""
        spec, numbers = self._request.spec, range(len(self._groups))
        self._listener.started(
            Start(
                path=self._directory.path,
                labels=labels_of(self._request),
                num_packs=len(numbers),
                updates=spec.max_steps * len(numbers),
                updates_done=sum(self._steps_done(number) for number in numbers),
                max_steps=spec.max_steps,
            )
        )
        outcomes: dict[int, Outcome] = {}
        for number in numbers:
            pack = self._restored(number)
            with pack.writer:
                self._train(pack)
            self.wall_seconds += pack.wall_seconds
            outcomes |= dict(zip(pack.members, pack.population.outcomes(spec.max_steps), strict=True))
        return [outcomes[number] for number in range(len(outcomes))]

    def _steps_done(self, pack: int) -> int:
        return max(state_steps(self._directory.paths.resume, pack), default=0)

    def _restored(self, number: int) -> _Pack:
        program, paths = self._programs[number], self._directory.paths
        population = initial_population(program)
        state, notes = load_state(paths.resume, number, records=paths.records(number))
        for note in notes:
            self._tell(note)
        if state is None:
            return self._pack(number, population, record_offset=0, wall_seconds=0.0)
        tensors = {name: torch.from_numpy(array) for name, array in state.tensors.items()}
        population = population.restored(state.step, tensors)
        self._tell(f"pack {number} continues after step {state.step}")
        return self._pack(number, population, state.record_offset, state.meta["wall_seconds"])

    def _pack(self, number: int, population: Population, record_offset: int, wall_seconds: float) -> _Pack:
        return _Pack(
            number=number,
            members=self._groups[number],
            program=self._programs[number],
            population=population,
            writer=self._directory.record_writer(number, record_offset),
            wall_seconds=wall_seconds,
            stored_step=population.step,
            stored_at=time.monotonic(),
        )

    def _train(self, pack: _Pack) -> None:
        interval = self._request.spec.checkpoint_minutes * 60
        started = time.monotonic() - pack.wall_seconds
        for moment in train(pack.program, pack.population):
            self._keep(pack, moment)
            self._listener.updated(pack.number, moment.step)
            now = time.monotonic()
            pack.wall_seconds = now - started
            if self._requests.is_stop:
                self._store(pack)
                path, limit = self._directory.path, pack.program.max_steps
                raise Interrupted(path, moment.step, limit, self._command)
            if now - pack.stored_at > interval:
                self._store(pack)
        if pack.stored_step < pack.population.step:
            self._store(pack)

    def _keep(self, pack: _Pack, moment: Moment) -> None:
        if moment.is_snapshot_due:
            tensors = {"params": _array(pack.population.flat), "buffers": _array(pack.population.buffers)}
            save_snapshot(
                self._directory.paths.snapshots, pack.number, moment.step, tensors, members=pack.members
            )
        if moment.record is None:
            return
        alive = np.flatnonzero(_array(pack.population.is_alive)).tolist()
        epoch = moment.step / pack.program.steps_per_epoch
        rows = [
            {"member": pack.members[row], "step": moment.step, "epoch": epoch}
            | {column: values[row] for column, values in moment.record.items()}
            for row in alive
        ]
        pack.writer.append(rows)
        self._listener.recorded(pack.members, moment.step, moment.record)

    def _store(self, pack: _Pack) -> None:
        pack.writer.sync()
        save_state(
            self._directory.paths.resume,
            pack.number,
            pack.population.step,
            {name: _array(tensor) for name, tensor in pack.population.tensors().items()},
            {"wall_seconds": pack.wall_seconds},
            record_offset=pack.writer.offset,
        )
        pack.stored_step, pack.stored_at = pack.population.step, time.monotonic()

    def _tell(self, text: str) -> None:
        self._directory.append_log(text)
        self._listener.noted(text)


def _array(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    return np.asarray(tensor.detach().cpu().numpy())
