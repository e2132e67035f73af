"""Trains one pack from where it was left, and keeps what it yields."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from epochal.core.values.errors import UserError
from epochal.core.values.outcome import Outcome
from epochal.engine.population import Population, initial_population
from epochal.engine.program import Program
from epochal.engine.train import Moment, train
from epochal.launch.interrupts import Requests
from epochal.launch.packs import Pack
from epochal.launch.watching.listener import Listener
from epochal.store.directory import RunDirectory
from epochal.store.records import RecordWriter
from epochal.store.snapshots import save_snapshot
from epochal.store.states import load_state, save_state


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What became of a pack's members, in order; ``stopped_at`` is the step of an interrupt, or None."""

    outcomes: Sequence[Outcome]
    wall_seconds: float
    stopped_at: int | None = None


def train_pack(
    directory: RunDirectory,
    pack: Pack,
    program: Program,
    listener: Listener,
    requests: Requests,
    *,
    checkpoint_minutes: float,
    snapshot_optimizer: bool,
) -> Ended:
    """Trains until the end, or until a stop is asked for; the state is stored in both cases.

    Raises:
        UserError: the state that a run begins from (another run's) cannot be read.
    """
    training = _Training(directory, pack, program, listener, requests, checkpoint_minutes, snapshot_optimizer)
    with training.writer:
        return training.run()


class _Training:
    """One pack under way."""

    def __init__(
        self,
        directory: RunDirectory,
        pack: Pack,
        program: Program,
        listener: Listener,
        requests: Requests,
        checkpoint_minutes: float,
        snapshot_optimizer: bool,
    ) -> None:
        self._directory = directory
        self._pack = pack
        self._program = program
        self._listener = listener
        self._requests = requests
        self._interval = checkpoint_minutes * 60
        self._keeps_optimizer = snapshot_optimizer
        self._is_fresh = False
        self._population, offset, self._wall_seconds = self._restored()
        self._stored_step, self._stored_at = self._population.step, time.monotonic()
        self.writer: RecordWriter = directory.record_writer(pack.number, offset)
        self._unknown = self._columns_since()

    def run(self) -> Ended:
        started = time.monotonic() - self._wall_seconds
        stopped_at = None
        for moment in train(self._program, self._population, is_fresh=self._is_fresh):
            self._keep(moment)
            self._listener.updated(self._pack.number, moment.step)
            now = time.monotonic()
            self._wall_seconds = now - started
            if self._requests.is_stop:
                stopped_at = moment.step
                break
            is_first_due = self._stored_step == 0 and moment.step == last_stretch(self._program.max_steps)
            if now - self._stored_at > self._interval or is_first_due:
                self._store()
        if self._stored_step < self._population.step:
            self._store()
        return Ended(
            outcomes=self._population.outcomes(self._program.max_steps),
            wall_seconds=self._wall_seconds,
            stopped_at=stopped_at,
        )

    def _restored(self) -> tuple[Population, int, float]:
        """The population, the bytes of records that belong to it, the seconds it took so far."""
        number, paths = self._pack.number, self._directory.paths
        population = initial_population(self._program)
        state, notes = load_state(paths.resume, number, records=paths.records(number))
        for note in notes:
            self._tell(note)
        if state is None or state.meta["members"] != list(self._pack.members):
            if self._directory.spec["origin"].get("step"):
                raise UserError(
                    f"pack {number} of {self._directory.path} has lost the state that it began from; remove "
                    "the run and give its command again"
                )
            # Members of a pack that was split start over: half a pack is another pack, in its bits.
            forget(self._directory, number)
            return population, 0, 0.0
        tensors = {name: torch.from_numpy(array) for name, array in state.tensors.items()}
        population = population.restored(
            state.step, tensors, optimizer_start=state.meta.get("optimizer_start", 0)
        )
        self._is_fresh = state.meta.get("is_fresh", False)
        if state.step < self._program.max_steps or not self._directory.spec["origin"]:
            self._tell(f"pack {number} continues after step {state.step}")
        return population, state.record_offset, state.meta["wall_seconds"]

    def _columns_since(self) -> set[str]:
        """What the probes of a later version give besides the columns with which this run began."""
        given = {column.name for probe, _ in self._program.probes for column in probe.columns}
        unknown = given - self._directory.schema.keys()
        if unknown:
            self._tell(
                f"{', '.join(sorted(unknown))}: measured since a later version than this run began with, and "
                "not recorded in it"
            )
        return unknown

    def _keep(self, moment: Moment) -> None:
        population = self._population
        members = [self._pack.members[row] for row in population.rows.tolist()]
        if moment.is_snapshot_due:
            tensors = {"params": population.flat, "buffers": population.buffers}
            tensors |= {f"objective.{name}": value for name, value in population.objective.items()}
            if population.keeps_memory:
                tensors |= {f"memory.{name}": value for name, value in population.memory.items()}
            if self._keeps_optimizer:
                tensors |= {f"optimizer.{name}": value for name, value in population.optimizer.items()}
            diverged = np.flatnonzero(~as_array(population.is_alive)).tolist()
            save_snapshot(
                self._directory.paths.snapshots,
                self._pack.number,
                moment.step,
                {name: as_array(value) for name, value in tensors.items()},
                members=members,
                meta={
                    "optimizer_start": population.optimizer_start,
                    "diverged": [members[row] for row in diverged],
                },
            )
        if moment.record is None:
            return
        alive = np.flatnonzero(as_array(population.is_alive)).tolist()
        epoch = moment.step / self._program.steps_per_epoch
        rows = [
            {"member": members[row], "step": moment.step, "epoch": epoch}
            | {name: values[row] for name, values in moment.record.items() if name not in self._unknown}
            for row in alive
        ]
        self.writer.append(rows)
        self._listener.recorded(members, moment.step, moment.record)

    def _store(self) -> None:
        population = self._population
        self.writer.sync()
        save_state(
            self._directory.paths.resume,
            self._pack.number,
            population.step,
            {name: as_array(tensor) for name, tensor in population.tensors().items()},
            state_meta(self._pack, population, self._wall_seconds),
            record_offset=self.writer.offset,
        )
        self._stored_step, self._stored_at = population.step, time.monotonic()

    def _tell(self, text: str) -> None:
        self._directory.append_log(text)
        self._listener.noted(text)


def state_meta(pack: Pack, population: Population, wall_seconds: float) -> dict[str, Any]:
    """What a resume state holds besides tensors."""
    return {
        "members": list(pack.members),
        "wall_seconds": wall_seconds,
        "optimizer_start": population.optimizer_start,
    }


def last_stretch(max_steps: int) -> int:
    """The step of a state that is stored before the final one, however quick the run was.

    `epochal verify` retrains what lies between the two; a tenth of the run costs it little.
    """
    return max_steps - max(1, max_steps // 10)


def forget(directory: RunDirectory, pack: int) -> None:
    """Removes the states and snapshots of a pack that starts over; its records are cut when it does."""
    paths = directory.paths
    for folder, pattern in (
        (paths.resume, f"pack-{pack}-step-*"),
        (paths.snapshots, f"step-*-pack-{pack}.*"),
    ):
        for file in folder.glob(pattern):
            file.unlink()


def as_array(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    return np.asarray(tensor.detach().cpu().numpy())
