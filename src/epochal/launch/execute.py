"""Executes a request: makes or resumes its run directory, trains every pack, finds events, closes the run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch

from epochal.core.tensors.task import Split
from epochal.core.values.errors import UserError
from epochal.core.values.identity import SEMANTICS
from epochal.core.values.outcome import Outcome
from epochal.core.values.request import Request
from epochal.engine.program import Program
from epochal.experiments.catalog import Experiment
from epochal.launch.environment import describe
from epochal.launch.interrupts import stop_requests
from epochal.launch.listener import Listener
from epochal.launch.packs import packs_of
from epochal.launch.training import Training
from epochal.launch.transitions import events_of
from epochal.store.directory import RunDirectory, remove_if_empty
from epochal.store.documents import read_json
from epochal.store.paths import RunPaths
from epochal.store.records import read_records

SPLITS: tuple[Split, ...] = ("train", "val")


def execute(
    experiment: Experiment,
    request: Request,
    path: Path,
    listener: Listener,
    *,
    command: str = "",
    before_done: Callable[[Path], object] | None = None,
) -> None:
    """Makes the run directory ``path``, or finishes it; one that is finished already is left as it is.

    ``command`` is what a user gives to make or resume the run; by default the request's own.
    ``before_done`` is called with the directory when everything but ``DONE`` is written.

    Raises:
        UserError: what the user can mend: a full disk, too little memory, a missing device, a run in use.
        Interrupted: on SIGINT or SIGTERM, after the state was stored.
    """
    if RunPaths(path).done.exists():
        return
    is_new = not path.exists()
    threads_before = torch.get_num_threads()
    torch.set_num_threads(request.spec.threads or threads_before)
    try:
        # Built before the directory exists: what cannot be built leaves nothing behind.
        groups = packs_of(request.members)
        programs = [experiment.build(tuple(request.members[number] for number in group)) for group in groups]
        command = command or request.command
        with _directory(path, request, command, groups, programs) as directory, stop_requests() as requests:
            training = Training(directory, request, command, groups, programs, listener, requests)
            outcomes = training.run()
            _close(directory, request, groups, programs, outcomes, training.wall_seconds, listener)
            if before_done:
                listener.phase("writing the report", 0, 1)
                before_done(path)
            directory.finish()
    except BaseException as error:
        if is_new:
            remove_if_empty(path)
        if wanted := _memory_wanted(error):
            raise UserError(
                f"not enough memory to train this ({wanted}): lower width, batch_size or the members"
            ) from error
        raise
    finally:
        torch.set_num_threads(threads_before)
        listener.ended()


def _directory(
    path: Path,
    request: Request,
    command: str,
    groups: Sequence[Sequence[int]],
    programs: Sequence[Program],
) -> RunDirectory:
    if path.exists():
        return RunDirectory.open(path)
    columns = {
        column.name: {"dtype": "float64", "unit": column.unit, "null": column.null, "source": probe.source}
        for probe, _ in programs[0].probes
        for column in probe.columns
    }
    spec: dict[str, Any] = {
        "semantics": SEMANTICS,
        "experiment": request.experiment,
        "preset": request.preset,
        "run_id": request.run_id,
        "command": command,
        "fields": request.fields(),
        "defaults": type(request.spec)().model_dump(mode="json"),
        "chain": _one_or_all([list(request.members[group[0]].chain()) for group in groups]),
        "varied": list(request.varied),
        "max_steps": request.spec.max_steps,
        "packs": [list(group) for group in groups],
    }
    environment = describe(programs[0].device, torch.get_num_threads()) | {
        "parameters": _one_or_all([program.network.layout.size for program in programs]),
        "splits": _one_or_all([_sizes(program) for program in programs]),
        "wall_seconds": None,
    }
    return RunDirectory.create(
        path.parent,
        path.name,
        spec=spec,
        environment=environment,
        members=_members_table(request),
        schema={"member": "int64", "step": "int64", "epoch": "float64", **columns},
    )


def _members_table(request: Request, outcomes: Sequence[Outcome] | None = None) -> pl.DataFrame:
    rows = [member.model_dump(mode="json", include=set(request.varied)) for member in request.members]
    columns: dict[str, list[Any]] = {"member": list(range(len(rows))), "member_id": list(request.member_ids)}
    columns |= {name: [row[name] for row in rows] for name in request.varied}
    if outcomes:
        columns["outcome"] = [outcome.status for outcome in outcomes]
        columns["outcome_step"] = [outcome.step for outcome in outcomes]
        columns["outcome_reason"] = [outcome.reason or None for outcome in outcomes]
    return pl.DataFrame(columns, strict=False)


def _close(
    directory: RunDirectory,
    request: Request,
    groups: Sequence[Sequence[int]],
    programs: Sequence[Program],
    outcomes: Sequence[Outcome],
    wall_seconds: float,
    listener: Listener,
) -> None:
    """Everything that is known once training is over."""
    directory.write_members(_members_table(request, outcomes))
    environment = read_json(directory.paths.environment)
    directory.write_environment(environment | {"wall_seconds": round(wall_seconds, 3)})
    metrics = read_records(directory.paths.all_records(), directory.schema)
    directory.write_events(
        events_of(
            metrics,
            _split_sizes(groups, programs),
            lambda done, of: listener.phase("finding transitions", done, of),
        )
    )


def _memory_wanted(error: BaseException) -> str:
    """What torch said when memory ran out; empty for any other error."""
    text = str(error)
    is_torch = isinstance(error, RuntimeError) and ("allocate memory" in text or "out of memory" in text)
    return text.splitlines()[0][-120:] or "no details" if is_torch or isinstance(error, MemoryError) else ""


def _one_or_all(values: list[Any]) -> Any:
    """What all packs agree in, or one value per pack."""
    return values[0] if all(value == values[0] for value in values) else values


def _sizes(program: Program) -> dict[str, int]:
    return {split: program.task.size(split) for split in SPLITS}


def _split_sizes(groups: Sequence[Sequence[int]], programs: Sequence[Program]) -> list[dict[str, int]]:
    """Per member of the run, the number of examples of each split."""
    sizes = {
        number: _sizes(program) for group, program in zip(groups, programs, strict=True) for number in group
    }
    return [sizes[number] for number in range(len(sizes))]
