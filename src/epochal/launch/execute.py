"""Executes a request: makes or resumes its run directory, trains every pack, finds events, closes the run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import torch

from epochal.core.tensors.probe import ConfiguredProbe
from epochal.core.tensors.task import Split
from epochal.core.values.errors import UserError
from epochal.core.values.identity import SEMANTICS
from epochal.core.values.outcome import Outcome
from epochal.core.values.request import Request
from epochal.core.values.source import copy_name, read_source
from epochal.engine.program import Program
from epochal.experiments.catalog import Experiment
from epochal.experiments.own_code import explained
from epochal.launch.branch import begun
from epochal.launch.environment import describe
from epochal.launch.interrupts import Interrupted, Requests, stop_requests
from epochal.launch.labels import labels_of
from epochal.launch.layout import Layout, choose, recorded, workers
from epochal.launch.memory import OutOfMemoryError, memory_wanted
from epochal.launch.numerics import numerics
from epochal.launch.packs import Pack, build
from epochal.launch.training import Ended, train_pack
from epochal.launch.transitions import events_of
from epochal.launch.trial import try_own_code, try_rule
from epochal.launch.watching.listener import Listener, Start
from epochal.launch.workers import train_side_by_side
from epochal.store.directory import RunDirectory, remove_if_empty
from epochal.store.documents import read_json, read_spec
from epochal.store.paths import RunPaths
from epochal.store.records import read_records
from epochal.store.states import state_steps

SPLITS: tuple[Split, ...] = ("train", "val")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a run's files tell of a pack's program."""

    parameters: int
    splits: dict[str, int]
    chain: list[str]


def execute(
    experiment: Experiment,
    request: Request,
    path: Path,
    listener: Listener,
    *,
    command: str = "",
    layout: Layout | None = None,
    before_done: Callable[[Path], object] | None = None,
) -> None:
    """Makes the run directory ``path``, or finishes it; one that is finished already is left as it is.

    ``command`` is what a user gives to make or resume the run; by default the request's own. ``layout`` is
    that of a new run, by default chosen here. ``before_done`` is called with the directory when everything
    but ``DONE`` is written.

    Raises:
        UserError: what the user can mend: a full disk, too little memory, a missing device, a run in use.
        Interrupted: on SIGINT or SIGTERM, after the state was stored.
    """
    if RunPaths(path).done.exists():
        return
    is_new = not path.exists()
    try:
        with numerics(request.spec), explained():
            # Built before the directory exists: what cannot be built leaves nothing behind.
            if not is_new:
                layout = recorded(read_spec(path))
            else:
                layout = layout or _as_before(request, path) or choose(experiment, request)
                if request.spec.checkpoint is not None:
                    layout = begun(experiment, request, layout, path.parent)
            programs = (build(experiment, request, pack) for pack in layout.packs)
            built, facts = _examined(request, layout, programs, is_new=is_new)
            first = built[0]
            assert first is not None
            with (
                _directory(path, request, command or request.command, layout, first, facts) as directory,
                stop_requests() as requests,
            ):
                run = _Run(experiment, request, directory, layout, built, listener, requests)
                outcomes, wall_seconds = run.train()
                _close(directory, request, run.layout, facts, outcomes, wall_seconds, listener)
                if before_done:
                    listener.phase("writing the report", 0, 1)
                    before_done(path)
                directory.finish()
    except BaseException as error:
        if is_new:
            remove_if_empty(path)
        wanted = error.wanted if isinstance(error, OutOfMemoryError) else memory_wanted(error)
        if wanted:
            raise UserError(
                f"not enough memory to train this ({wanted}): lower width, batch_size or the members"
            ) from error
        if problem := _compiler_problem(error):
            raise UserError(f"compile=true does not work here ({problem}); give compile=false") from error
        raise
    finally:
        listener.ended()


def _as_before(request: Request, path: Path) -> Layout | None:
    """Of a repeat, the layout of the first run: what was timed there decides bits, and is not timed anew.

    None where that run is not there or not readable, continued another, or was to be executed otherwise.
    """
    first = path.parent / request.name
    if first == path or not first.exists():
        return None
    try:
        spec = read_spec(first)
    except UserError:  # of another version, perhaps: no reason not to repeat it
        return None
    fields = request.fields()
    is_alike = all(
        spec["fields"].get(name) == fields[name] for name in ("executor", "pack_limit", "device", "threads")
    )
    return recorded(spec) if is_alike and not spec["origin"] else None


class _Run:
    """The packs of one run, trained one after the other or side by side; one that does not fit is halved."""

    def __init__(
        self,
        experiment: Experiment,
        request: Request,
        directory: RunDirectory,
        layout: Layout,
        programs: Sequence[Program | None],
        listener: Listener,
        requests: Requests,
    ) -> None:
        self._experiment = experiment
        self._request = request
        self._directory = directory
        self._listener = listener
        self._requests = requests
        self.layout = layout
        self._programs = dict(zip(layout.packs, programs, strict=True))

    def train(self) -> tuple[list[Outcome], float]:
        """Outcome of every member in the order of the request, and the seconds of training in all."""
        spec = self._request.spec
        done = [
            max(state_steps(self._directory.paths.resume, k.number), default=0) for k in self.layout.packs
        ]
        self._listener.started(
            Start(
                path=self._directory.path,
                labels=labels_of(self._request),
                num_packs=len(self.layout.packs),
                updates=spec.max_steps * len(self.layout.packs),
                updates_done=sum(done),
                max_steps=spec.max_steps,
            )
        )
        for note in self.layout.notes:
            self._tell(note)
        outcomes: dict[int, Outcome] = {}
        seconds, stopped_at = 0.0, []
        todo = list(self.layout.packs)
        while todo:
            too_large: list[Pack] = []
            for pack, ended in self._in_turn(todo):
                if isinstance(ended, OutOfMemoryError):
                    too_large += self._halved(pack, ended)
                    continue
                outcomes |= dict(zip(pack.members, ended.outcomes, strict=True))
                seconds += ended.wall_seconds
                stopped_at += [] if ended.stopped_at is None else [ended.stopped_at]
            if self._requests.is_stop and (stopped_at or len(outcomes) < len(self._request.members)):
                step = min(stopped_at, default=0)
                command = self._directory.spec["command"]
                raise Interrupted(self._directory.path, step, spec.max_steps, command)
            todo = too_large
        return [outcomes[number] for number in range(len(outcomes))], seconds

    def _in_turn(self, packs: Sequence[Pack]) -> Iterator[tuple[Pack, Ended | OutOfMemoryError]]:
        spec = self._request.spec
        if self.layout.executor == "processes":
            count = workers(spec.threads)
            yield from train_side_by_side(self._directory, packs, count, self._listener, self._requests)
            return
        for pack in packs:
            try:
                ended: Ended | OutOfMemoryError = train_pack(
                    self._directory,
                    pack,
                    self._programs.pop(pack, None) or build(self._experiment, self._request, pack),
                    self._listener,
                    self._requests,
                    checkpoint_minutes=spec.checkpoint_minutes,
                    snapshot_optimizer=spec.snapshot_optimizer,
                )
            except (RuntimeError, MemoryError) as error:
                if not (wanted := memory_wanted(error)):
                    raise
                ended = OutOfMemoryError(wanted)
            yield pack, ended
            if self._requests.is_stop:
                return

    def _halved(self, pack: Pack, problem: OutOfMemoryError) -> tuple[Pack, Pack]:
        """Two packs in place of one that does not fit.

        They start over: half a pack is another pack, in its bits.
        """
        if len(pack.members) == 1 or self.layout.origin:
            raise problem
        halves = pack.halves(len(self.layout.packs))
        packs = (*(halves[0] if p.number == pack.number else p for p in self.layout.packs), halves[1])
        limit = len(halves[0].members)
        self.layout = replace(self.layout, packs=packs, pack_limit=limit)
        self._directory.write_spec({**self._directory.spec, **self.layout.as_spec()})
        self._tell(
            f"pack {pack.number} of {len(pack.members)} members does not fit into memory "
            f"({problem.wanted}); it starts over as two packs of at most {limit}"
        )
        return halves

    def _tell(self, text: str) -> None:
        self._directory.append_log(text)
        self._listener.noted(text)


def _examined(
    request: Request, layout: Layout, programs: Iterator[Program], *, is_new: bool
) -> tuple[list[Program | None], list[Facts]]:
    """Every program that holds no numbers yet, the first in any case, and what is told of each."""
    built: list[Program | None] = []
    facts, tried = [], {"Backprop"}
    for pack, program in zip(layout.packs, programs, strict=True):
        is_tried = is_new and bool(request.spec.code)
        if is_tried:
            try_own_code(program)  # and so has its images on the device
        elif is_new and (rule := type(program.rule).__name__) not in tried:
            try_rule(program)
            tried.add(rule)
        built.append(None if is_tried and built else program)
        splits: dict[str, int] = {split: program.task.size(split) for split in SPLITS}
        chain = list(request.members[pack.members[0]].chain())
        facts.append(Facts(parameters=program.network.layout.size, splits=splits, chain=chain))
    return built, facts


def _directory(
    path: Path, request: Request, command: str, layout: Layout, first: Program, facts: Sequence[Facts]
) -> RunDirectory:
    if path.exists():
        return RunDirectory.open(path)
    probes = [probe for probe, _ in first.probes]
    code = request.spec.code
    spec: dict[str, Any] = {
        "semantics": SEMANTICS,
        "experiment": request.experiment,
        "preset": request.preset,
        "run_id": request.run_id,
        "command": command,
        "settings": [list(pair) for pair in request.settings],
        "fields": request.fields(),
        "defaults": type(request.spec)().model_dump(mode="json"),
        "chain": _one_or_all([fact.chain for fact in facts]),
        "probes": {probe.name: probe.options.model_dump(mode="json") for probe in probes},
        "varied": list(request.varied),
        "max_steps": request.spec.max_steps,
        **layout.as_spec(),
    }
    environment = describe(first.device, torch.get_num_threads()) | {
        "parameters": _one_or_all([fact.parameters for fact in facts]),
        "splits": _one_or_all([fact.splits for fact in facts]),
        "num_classes": first.task.num_classes,
        "val_source": getattr(first.task, "val_source", "val"),
        "wall_seconds": None,
    }
    return RunDirectory.create(
        path.parent,
        path.name,
        spec=spec,
        environment=environment,
        members=_members_table(request),
        schema={"member": "int64", "step": "int64", "epoch": "float64", **declared(probes)},
        code={copy_name(path, digest): read_source(path, digest) for digest, path in code.items()},
        fill=layout.fill,
    )


def declared(probes: Sequence[ConfiguredProbe], *, across: bool = False) -> dict[str, dict[str, Any]]:
    """The columns of probes as a schema; ``across``, with those between snapshots."""
    dtypes = ("float64", "list[float64]")
    return {
        column.name: {
            "dtype": dtypes[column.rank],
            "unit": column.unit,
            "null": column.null,
            "source": made.probe.source,
        }
        for made in probes
        for column in made.columns + (made.across_columns if across else ())
    }


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
    layout: Layout,
    facts: Sequence[Facts],
    outcomes: Sequence[Outcome],
    wall_seconds: float,
    listener: Listener,
) -> None:
    """Everything that is known once training is over."""
    directory.write_members(_members_table(request, outcomes))
    environment = read_json(directory.paths.environment)
    directory.write_environment(environment | {"wall_seconds": round(wall_seconds, 3)})
    metrics = read_records(directory.paths.all_records(), directory.schema)
    # A pack that was halved has the sizes of the pack it came from: those of its key.
    sizes = {
        request.members[pack.members[0]].pack_key(): fact.splits
        for pack, fact in zip(layout.packs, facts, strict=False)
    }
    directory.write_events(
        events_of(
            metrics,
            [sizes[member.pack_key()] for member in request.members],
            lambda done, of: listener.phase("finding transitions", done, of),
            diverged={m for m, outcome in enumerate(outcomes) if outcome.status == "diverged"},
        )
    )


def _compiler_problem(error: BaseException) -> str:
    """What the compiler of torch said; empty for any other error."""
    if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return ""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


def _one_or_all(values: list[Any]) -> Any:
    """What all packs agree in, or one value per pack."""
    return values[0] if all(value == values[0] for value in values) else values
