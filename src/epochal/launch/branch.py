"""``checkpoint=RUN@step``: a new run that goes on from the members of a stored one, with changed fields."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from epochal.core.values import axes
from epochal.core.values.errors import UserError
from epochal.core.values.fields import kind_of
from epochal.core.values.request import Request
from epochal.core.values.settings import holds_mapping, undotted
from epochal.core.values.spec import Spec
from epochal.engine.population import Population, initial_population
from epochal.engine.program import Program
from epochal.experiments.catalog import Experiment
from epochal.launch.layout import Layout
from epochal.launch.packs import Pack, build
from epochal.launch.training import as_array, state_meta
from epochal.store.catalog import find_run
from epochal.store.paths import RunPaths
from epochal.store.run import Run, load
from epochal.store.snapshots import find_snapshot
from epochal.store.states import load_state, save_state

_FORM = re.compile(r"(?P<run>.+)@(?P<step>\d{1,12}|last)(:(?P<member>\d{1,9}))?")
FILLED_IN = ("checkpoint", "checkpoint_id", "data_checksum", "epochs")
"""Fields that a new run does not take over as they are: they follow from others."""

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A stored run at a step; ``member`` is the only one to take, or None for all."""

    run: Run
    step: int
    member: int | None

    @property
    def members(self) -> list[dict[str, Any]]:
        """The rows of the members table to choose from."""
        rows = self.run.members.to_dicts()
        return rows if self.member is None else [row for row in rows if row["member"] == self.member]

    @property
    def has_optimizer(self) -> bool:
        return stored(self.run, self.members[0]["member"], self.step).optimizer is not None

    @property
    def identity(self) -> str:
        """Which states these are, wherever the run lies."""
        one = "" if self.member is None else f":{self.member}"
        return f"{self.run.spec['run_id']}@{self.step}{one}{'+optimizer' if self.has_optimizer else ''}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """One member at a step. ``optimizer`` is None where only parameters were kept.

    ``memory`` is what a rule has learned, ``objective`` what the objective keeps; empty for most.
    """

    params: Array
    buffers: Array
    optimizer: dict[str, Array] | None
    optimizer_start: int
    memory: dict[str, Array]
    objective: dict[str, Array]


def branched(
    experiment: Experiment, settings: Mapping[str, object], preset: str | None, runs: Path
) -> Request:
    """The request of ``checkpoint=RUN@step``: all fields of that run's members, but for those given here.

    Raises:
        UserError: no such run, step or member; a preset beside it; too few steps; a wrong field.
    """
    changes = undotted(experiment.spec_class, settings)
    if preset is not None:
        raise UserError(
            f"preset={preset} beside checkpoint=...: the fields are those of the run; change single ones"
        )
    source = checkpoint(str(changes["checkpoint"]), runs)
    if source.run.spec["experiment"] != experiment.name:
        raise UserError(
            f"{source.run.name} is of the experiment {source.run.spec['experiment']}, not {experiment.name}"
        )
    derived = {**_taken_over(experiment.spec_class, source, changes), "checkpoint_id": source.identity}
    request = experiment.request(changes, derived=derived)
    if request.spec.max_steps <= source.step:
        raise UserError(
            f"max_steps={request.spec.max_steps} is not beyond step {source.step} of {source.run.name}; "
            "give more (steps count on from there)"
        )
    return request


def checkpoint(text: str, runs: Path) -> Checkpoint:
    """What ``RUN@step``, ``RUN@last`` or ``RUN@step:member`` means.

    Raises:
        UserError: no such run, step or member.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise UserError(f"checkpoint={text} is not RUN@step, RUN@last or RUN@step:member")
    run = load(find_run(match["run"], runs))
    member = None if match["member"] is None else int(match["member"])
    if member is not None and member >= len(run.members):
        raise UserError(
            f"member {member} is not in {run.name}, which has members 0 to {len(run.members) - 1}"
        )
    step = run.last_snapshot(member or 0) if match["step"] == "last" else int(match["step"])
    found = Checkpoint(run=run, step=step, member=member)
    stored(run, found.members[0]["member"], step)
    return found


def begun(experiment: Experiment, request: Request, layout: Layout, runs: Path) -> Layout:
    """The layout whose packs begin at the checkpoint; those adopted from elsewhere are left as they are."""
    assert request.spec.checkpoint is not None
    source = checkpoint(request.spec.checkpoint, runs)

    def fill(paths: RunPaths) -> None:
        layout.fill(paths)
        for pack in layout.packs[layout.num_adopted :]:
            population = _population(build(experiment, request, pack), source, request, pack)
            tensors = {name: as_array(value) for name, value in population.tensors().items()}
            meta = {**state_meta(pack, population, 0.0), "is_fresh": True}
            paths.records(pack.number).parent.mkdir(exist_ok=True)
            paths.records(pack.number).touch()
            save_state(paths.resume, pack.number, source.step, tensors, meta, record_offset=0)

    how = "their optimiser's state" if source.has_optimizer else "a fresh optimiser"
    origin = {"run": source.run.name, "run_id": source.run.spec["run_id"], "step": source.step}
    note = f"members begin as those of {source.run.name} at step {source.step}, with {how}"
    return replace(layout, fill=fill, origin={**layout.origin, **origin}, notes=(*layout.notes, note))


def stored(run: Run, member: int, step: int) -> Stored:
    """A member at a step, with the optimiser's state where a snapshot or a resume state has it.

    Raises:
        UserError: there is no snapshot of it.
    """
    shot = find_snapshot(run.paths.snapshots, member, step)
    row = shot.members.index(member)
    tensors = {name: array[row] for name, array in shot.tensors.items()}
    optimizer = {
        name.removeprefix("optimizer."): value
        for name, value in tensors.items()
        if name.startswith("optimizer.")
    }
    start = shot.meta.get("optimizer_start", 0)
    if not optimizer:
        state, _ = load_state(run.paths.resume, shot.pack)
        if state is not None and state.step == step:
            members = state.meta["members"]
            row = state.tensors["rows"].tolist().index(members.index(member))
            optimizer = {
                name.removeprefix("optimizer."): value[row]
                for name, value in state.tensors.items()
                if name.startswith("optimizer.")
            }
            start = state.meta["optimizer_start"]
    return Stored(
        params=tensors["params"],
        buffers=tensors["buffers"],
        optimizer=optimizer or None,
        optimizer_start=start,
        memory=_part(tensors, "memory."),
        objective=_part(tensors, "objective."),
    )


def _population(program: Program, source: Checkpoint, request: Request, pack: Pack) -> Population:
    """A fresh population with the numbers of the source's members."""
    population = initial_population(program)
    found = [stored(source.run, _source_of(source, request.members[m]), source.step) for m in pack.members]
    size = population.flat.shape[1]
    if wrong := [one for one in found if one.params.size != size]:
        raise UserError(
            f"the changed fields change the network: {source.run.name} has {wrong[0].params.size} "
            f"parameters, this one {size}"
        )
    population.flat.copy_(_stacked([one.params for one in found]))
    population.buffers.copy_(_stacked([one.buffers for one in found]))
    population.step = population.optimizer_start = source.step
    if population.keeps_memory and _fits([one.memory for one in found], population.memory):
        for name, value in population.memory.items():
            value.copy_(_stacked([one.memory[name] for one in found]))
    if _fits([one.objective for one in found], population.objective):
        for name, value in population.objective.items():
            value.copy_(_stacked([one.objective[name] for one in found]))
    there = [one.optimizer for one in found if one.optimizer is not None]
    if len(there) == len(found) and _fits(there, population.optimizer):
        for name, value in population.optimizer.items():
            value.copy_(_stacked([one[name] for one in there]))
        population.optimizer_start = found[0].optimizer_start
    return population


def _part(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _fits(found: Sequence[Mapping[str, Array]], wanted: Mapping[str, torch.Tensor]) -> bool:
    """Whether stored members have the tensors that a population keeps."""
    return all(
        one.keys() == wanted.keys()
        and all(one[name].shape == value.shape[1:] for name, value in wanted.items())
        for one in found
    )


def _source_of(source: Checkpoint, member: Spec) -> int:
    """The stored member that agrees in all that varies there, as far as the new value is known there.

    Raises:
        UserError: several do.
    """
    rows = source.members
    values = member.model_dump(mode="json", include=set(source.run.spec["varied"]))
    for name, value in values.items():
        if any(row[name] == value for row in rows):
            rows = [row for row in rows if row[name] == value]
    if len(rows) > 1:
        numbers = ", ".join(str(row["member"]) for row in rows[:5])
        raise UserError(
            f"members {numbers} of {source.run.name} could all become the one with "
            f"{axes.described(values)}; choose one: checkpoint={source.run.name}@{source.step}:{numbers[0]}"
        )
    return int(rows[0]["member"])


def _taken_over(
    spec_class: type[Spec], source: Checkpoint, changes: Mapping[str, object]
) -> dict[str, object]:
    """The source's fields that are not given anew, as settings; what varies there stays paired."""
    spec = source.run.spec
    settings: dict[str, object] = {}
    given = {name.partition(".")[0] for name in changes}
    for name, value in spec["fields"].items():
        if name in given or name in FILLED_IN or name in spec["varied"] or value == spec["defaults"][name]:
            continue
        if kind_of(spec_class.model_fields[name]) == "execute" and name != "data_path":
            continue
        if holds_mapping(spec_class, name):
            settings |= {f"{name}.{key}": entry for key, entry in value.items()}
        else:
            settings[name] = value if isinstance(value, list) else [value]
    varied = [name for name in spec["varied"] if name not in given]
    rows = list(dict.fromkeys(tuple(row[name] for name in varied) for row in source.members))
    if len(varied) == 1:
        settings[varied[0]] = [row[0] for row in rows]
    elif varied:
        columns = {
            name: ",".join(axes.value_text(row[place]) for row in rows) for place, name in enumerate(varied)
        }
        settings["zip"] = "zip(" + ",".join(f"{name}={text}" for name, text in columns.items()) + ")"
    return settings


def _stacked(arrays: Sequence[Array]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays))
