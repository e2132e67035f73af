"""Retrains a stretch of a stored run on this machine, and compares every bit with what is stored."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch

from epochal.core.values.errors import UserError
from epochal.core.values.identity import SEMANTICS
from epochal.engine.population import Population, initial_population
from epochal.engine.program import Program
from epochal.engine.train import Moment, train
from epochal.experiments.restore import program_of
from epochal.launch.environment import describe
from epochal.store.difference import CODE, HARDWARE, VERSIONS, is_same
from epochal.store.run import Run
from epochal.store.snapshots import load_snapshot, snapshot_steps
from epochal.store.states import load_state_at, state_steps

MOST_STEPS = 1000
"""Length of a stretch unless it is asked for."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Pack ``pack`` from the state at ``start`` (0: its beginning) to ``end``."""

    pack: int
    start: int
    end: int
    states: tuple[int, ...]
    snapshots: tuple[int, ...]
    """Steps after ``start`` at which all that is trained, or the parameters, can be compared."""


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """Where a tensor or column first differs: at ``step``, in ``member``, by ``largest`` at that step."""

    what: str
    step: int
    member: int | None
    stored: object
    retrained: object
    largest: float | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was compared, the first mismatch of each tensor and column, and what differs in circumstances."""

    stretch: Stretch
    records: int
    members: int
    mismatches: tuple[Mismatch, ...]
    circumstances: tuple[tuple[str, object, object], ...]
    """Name, as the run was made, as it is here."""

    @property
    def is_equal(self) -> bool:
        return not self.mismatches


def stretch_of(run: Run, pack: int, steps: int | None) -> Stretch:
    """The stretch between the last two states of a pack, or from its beginning where it has only one.

    At most ``steps`` updates (by default `MOST_STEPS`).

    Raises:
        UserError: there is no such pack, or nothing stored to compare with.
    """
    packs = run.spec["packs"]
    if not 0 <= pack < len(packs):
        raise UserError(f"pack={pack} is not in {run.name}, which has packs 0 to {len(packs) - 1}")
    recorded = run.metrics.filter(pl.col("member").is_in(packs[pack]))["step"].to_list()
    stored = state_steps(run.paths.resume, pack)
    snapshots = snapshot_steps(run.paths.snapshots, pack)
    begins = stored[0] if stored and run.spec["origin"].get("step") else 0
    start = stored[-2] if len(stored) > 1 else begins
    reach = max([0, *stored, *recorded, *snapshots])
    end = min(reach, start + (steps or MOST_STEPS))
    if end <= start:
        raise UserError(
            f"pack {pack} of {run.name} has trained no step that could be compared; resume it first"
        )
    return Stretch(
        pack=pack,
        start=start,
        end=end,
        states=tuple(step for step in stored if start < step <= end),
        snapshots=tuple(step for step in snapshots if start < step <= end),
    )


def verify(
    run: Run, stretch: Stretch, progress: Callable[[int, int], object] = lambda _done, _of: None
) -> Verdict:
    """Trains the stretch again, with the run's own spec and number of threads. Writes nothing.

    Raises:
        UserError: the run's code trained by other rules, its states are damaged, or its device is missing.
    """
    if run.spec["semantics"] != SEMANTICS:
        raise UserError(
            f"{run.name} was trained under semantics {run.spec['semantics']}, this version of epochal has "
            f"{SEMANTICS}: the same spec would train differently; verify it with the version that made it"
        )
    members = run.spec["packs"][stretch.pack]
    is_alone = run.spec["executor"] == "processes"  # each with one thread
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if is_alone else int(run.environment.get("threads") or threads))
    try:
        program = program_of(run, members, executor=run.spec["executors"][stretch.pack])
        here = describe(program.device, torch.get_num_threads())
        compared = _Compared(run=run, members=members, program=program)
        for moment in _moments(run, stretch, program, compared):
            progress(moment.step - stretch.start, stretch.end - stretch.start)
    finally:
        torch.set_num_threads(threads)
    then = run.environment
    return Verdict(
        stretch=stretch,
        records=compared.records,
        members=len(members),
        mismatches=tuple(sorted(compared.mismatches.values(), key=lambda found: found.step)),
        circumstances=tuple(
            (name, then.get(name), here[name])
            for name in (*VERSIONS, *HARDWARE, *CODE)
            if name in here and then.get(name) != here[name]
        ),
    )


def _moments(run: Run, stretch: Stretch, program: Program, compared: "_Compared") -> Iterator[Moment]:
    """Every update of the stretch, compared with what is stored of it."""
    population, is_fresh = initial_population(program), False
    if stretch.start:
        state = load_state_at(run.paths.resume, stretch.pack, stretch.start)
        tensors = {name: torch.from_numpy(array) for name, array in state.tensors.items()}
        start = state.meta["optimizer_start"]
        population = population.restored(stretch.start, tensors, optimizer_start=start)
        is_fresh = bool(state.meta.get("is_fresh"))
    for moment in train(program, population, is_fresh=is_fresh):
        if moment.record is not None:
            compared.record(moment.step, moment.record, population)
        if moment.step in stretch.snapshots:
            stored = load_snapshot(run.paths.snapshots, stretch.pack, moment.step).tensors
            compared.tensors(
                moment.step, {"flat": stored["params"], "buffers": stored["buffers"]}, population
            )
        if moment.step in stretch.states:
            state = load_state_at(run.paths.resume, stretch.pack, moment.step)
            compared.tensors(moment.step, state.tensors, population)
        yield moment
        if moment.step >= stretch.end:
            return


class _Compared:
    """Gathers the first mismatch of every column and tensor."""

    def __init__(self, *, run: Run, members: Sequence[int], program: Program) -> None:
        self._members = members
        self._layout = program.network.layout
        rows = run.metrics.filter(pl.col("member").is_in(members)).iter_rows(named=True)
        self._stored = {(row["member"], row["step"]): row for row in rows}
        self.records = 0
        self.mismatches: dict[str, Mismatch] = {}

    def record(self, step: int, record: Mapping[str, Array], population: Population) -> None:
        """A stored row of every member that is alive, and of no other."""
        alive = population.is_alive.tolist()
        present = [self._members[row] for row in population.rows.tolist()]
        for place, member in enumerate(present):
            row = self._stored.get((member, step))
            if alive[place] != (row is not None):
                self._note("record", step, member, row is not None, alive[place], None)
            elif row is not None:
                self.records += 1
                for column, values in record.items():
                    stored, value = row.get(column), values[place].item()
                    if not is_same(stored, value):
                        distance = abs(stored - value) if isinstance(stored, int | float) else None
                        self._note(column, step, member, stored, value, distance)

    def tensors(self, step: int, stored: Mapping[str, Array], population: Population) -> None:
        if "rows" in stored:  # members that stopped early may have left between this moment and the state
            stays = torch.isin(population.rows.cpu(), torch.from_numpy(stored["rows"]))
            population = population.kept(torch.nonzero(stays).squeeze(1).to(population.rows.device))
        mine = {name: tensor.detach().cpu().numpy() for name, tensor in population.tensors().items()}
        for name, expected in stored.items():
            found = mine[name]
            if found.tobytes() == np.ascontiguousarray(expected).tobytes():
                continue
            bits = found.reshape(-1).view(f"u{found.itemsize}") if found.dtype != bool else found.reshape(-1)
            other = np.ascontiguousarray(expected).reshape(-1).view(bits.dtype)
            place = np.unravel_index(int(np.flatnonzero(bits != other)[0]), found.shape)
            rows = name != "stopped_at" and found.ndim > 0
            distance = np.abs(found.astype(np.float64) - expected.astype(np.float64))
            self._note(
                self._name(name, place),
                step,
                self._members[int(population.rows[int(place[0])])] if rows else None,
                expected[place].item(),
                found[place].item(),
                float(np.nanmax(distance, initial=0.0)),
            )

    def _name(self, tensor: str, place: tuple[Any, ...]) -> str:
        """Parameters by the name they have in the module."""
        if tensor != "flat":
            return tensor
        entries = self._layout.entries
        return next(f"parameter {e.name}" for e in entries if e.slice.start <= place[1] < e.slice.stop)

    def _note(
        self,
        what: str,
        step: int,
        member: int | None,
        stored: object,
        retrained: object,
        largest: float | None,
    ) -> None:
        found = Mismatch(
            what=what, step=step, member=member, stored=stored, retrained=retrained, largest=largest
        )
        self.mismatches.setdefault(what, found)
