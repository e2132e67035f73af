"""A run's packs and how they train: as recorded, as asked for, as is known of the model, or as measured."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from epochal.core.values.executor import Executor, InProcess
from epochal.core.values.request import Request
from epochal.experiments.catalog import Experiment
from epochal.launch.fits import check_largest
from epochal.launch.packs import Pack, packs_of
from epochal.launch.timing import Timed, faster_in_process, is_faster_side_by_side, time_executors
from epochal.launch.working_set import FEWEST, Trial, try_alone
from epochal.store.paths import RunPaths

KNOWN: dict[str, InProcess] = {"mlp": "vmap", "transformer": "vmap"}
"""Kinds of model whose members gain from batching while they are small (bench/results/populations.md)."""

LONG_SECONDS = 600.0
"""A run that is estimated to take longer is worth the seconds of timing processes against one process."""

SHORT_UPDATES = 500
"""Fewer updates of a pack's members are not worth the two that tell how large a member is."""

LONG_UPDATES = 100_000
"""Updates of members below which no such run is expected of a known kind."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The packs of a run, and why: ``measured`` holds seconds per update, ``notes`` what a user should know.

    ``pack_limit`` is the most members that a pack was allowed, 0 where nothing limited them. ``fill`` puts
    into a new run what it does not start without: states that its packs continue from. ``origin`` says where
    they come from; the first ``num_adopted`` packs are another run's.
    """

    packs: tuple[Pack, ...]
    executor: Executor
    pack_limit: int = 0
    measured: Sequence[Mapping[str, Any]] = ()
    notes: tuple[str, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    num_adopted: int = 0
    fill: Callable[[RunPaths], None] = lambda _paths: None

    def as_spec(self) -> dict[str, Any]:
        """What ``spec.json`` says of it."""
        return {
            "packs": [list(pack.members) for pack in self.packs],
            "executors": [pack.executor for pack in self.packs],
            "executor": self.executor,
            "pack_limit": self.pack_limit,
            "executor_measured": [dict(row) for row in self.measured],
            "origin": dict(self.origin),
        }


def recorded(spec: Mapping[str, Any]) -> Layout:
    """The layout that a run's ``spec.json`` tells."""
    both = zip(spec["packs"], spec["executors"], strict=True)
    packs = tuple(Pack(number=k, members=tuple(m), executor=e) for k, (m, e) in enumerate(both))
    return Layout(
        packs=packs,
        executor=spec["executor"],
        pack_limit=spec["pack_limit"],
        measured=spec["executor_measured"],
        origin=spec["origin"],
    )


def choose(
    experiment: Experiment, request: Request, *, among: Sequence[int] | None = None, first_number: int = 0
) -> Layout:
    """Packs and executors of a new run, or of some of its members.

    Without ``pack_limit`` batched packs hold no more members than the caches. With ``executor=processes`` all
    are spread over as many packs as there are cores. ``auto`` takes what is known of the model's kind, else
    times one pack per kind; it takes ``processes`` where a long run was timed to gain from them.

    Raises:
        UserError: an update that this machine's memory cannot hold.
    """
    spec = request.spec
    groups = packs_of(request.members, spec.pack_limit, among)
    check_largest(experiment, [request.members[group[0]] for group in groups])
    chosen = _Chosen(experiment, request, sum(map(len, groups)))
    executor: Executor | None = "processes" if spec.executor == "processes" else None
    packs: list[tuple[list[int], InProcess]] = []
    if executor is None:
        largest_first = sorted(groups, key=len, reverse=True)  # what is timed once per kind is timed there
        parts = {group[0]: chosen.parts(group) for group in largest_first}
        packs = [part for group in groups for part in parts[group[0]]]
        if all(chosen.gains_from_processes.get(_kind(request, group), False) for group in groups):
            executor = "processes"
    if executor == "processes":
        packs = [(group, "loop") for group in _spread(request, groups, among)]
    return Layout(
        packs=tuple(
            Pack(number=number, members=tuple(group), executor=how)
            for number, (group, how) in enumerate(packs, first_number)
        ),
        executor=executor or ("vmap" if any(how == "vmap" for _, how in packs) else "loop"),
        pack_limit=spec.pack_limit or (0 if executor == "processes" else chosen.limit),
        measured=chosen.measured,
        notes=tuple(chosen.notes),
    )


def workers(threads: int) -> int:
    """Processes that train at the same time: one per core, or as many as ``threads`` says."""
    return threads or os.cpu_count() or 1


def _spread(request: Request, groups: list[list[int]], among: Sequence[int] | None) -> list[list[int]]:
    """At least a pack for every worker, where there are as many members."""
    spec = request.spec
    if len(groups) >= workers(spec.threads):
        return groups
    largest = -(-sum(map(len, groups)) // workers(spec.threads))
    return packs_of(request.members, min(largest, spec.pack_limit or largest), among)


def _kind(request: Request, group: list[int]) -> str:
    """The name of the model; a group shares it."""
    return str(getattr(request.members[group[0]], "model", ""))


class _Chosen:
    """What was found out so far; each kind of model is timed once."""

    def __init__(self, experiment: Experiment, request: Request, num_members: int) -> None:
        self._experiment = experiment
        self._request = request
        self._updates = num_members * request.spec.max_steps
        self._executors: dict[tuple[str, bool], InProcess] = {}
        self.gains_from_processes: dict[str, bool] = {}
        self.measured: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.limit = 0
        """The largest of those that the caches set."""

    def parts(self, group: list[int]) -> list[tuple[list[int], InProcess]]:
        """The packs of members with one key, and how each trains."""
        members = self._request.members
        spec, kind = self._request.spec, _kind(self._request, group)
        if spec.executor == "loop" or (spec.executor == "vmap" and len(group) == 1):
            return [(group, "loop")]
        is_known = spec.executor == "vmap" or kind in KNOWN
        is_long = spec.executor == "auto" and self._updates >= LONG_UPDATES
        is_short = spec.executor == "vmap" or len(group) * spec.max_steps < SHORT_UPDATES
        if not is_long and (len(group) == 1 or (is_known and is_short and len(group) <= FEWEST)):
            return [(group, "loop" if len(group) == 1 else "vmap")]
        trial = try_alone(self._experiment, members[group[0]])
        limit = spec.pack_limit or trial.most_members
        parts = packs_of(members, limit, group)
        executor = self._executor(kind, parts[0], trial) if spec.executor == "auto" else "vmap"
        if executor == "loop":
            return [(group, "loop")]  # its memory is that of one member
        self.limit = max(self.limit, limit if len(parts) > 1 else 0)
        return [(part, executor if len(part) > 1 else "loop") for part in parts]

    def _executor(self, kind: str, part: list[int], trial: Trial) -> InProcess:
        """What is known of such members, or was measured once of their kind and size, on a throwaway pack."""
        in_process: InProcess = "loop" if trial.is_large else KNOWN.get(kind, "loop")
        among: set[Executor] = {"vmap", "loop"} if kind not in KNOWN and len(part) > 1 else {in_process}
        spec = self._request.spec
        if self._is_long(trial) and trial.device.type == "cpu" and workers(spec.threads) > 1:
            among.add("processes")
        if len(among) == 1:
            return in_process
        known = (kind, trial.is_large)
        if known in self._executors:
            return self._executors[known]
        members = tuple(self._request.members[number] for number in part)
        num_workers = min(workers(spec.threads), len(self._request.members))
        timed: Timed = time_executors(self._experiment.build(members), among, num_workers)
        if timed.problem:
            self.notes.append(
                f"model={kind} cannot be batched over members ({timed.problem}); they train in turn"
            )
        self._executors[known] = faster_in_process(timed.seconds)
        self.gains_from_processes[kind] = is_faster_side_by_side(timed.seconds)
        self.measured.append(
            {
                "model": kind,
                "members": len(members),
                "chosen": "processes" if self.gains_from_processes[kind] else self._executors[known],
                "seconds_per_update": {n: float(f"{value:.3g}") for n, value in timed.seconds.items()},
            }
        )
        return self._executors[known]

    def _is_long(self, trial: Trial) -> bool:
        return trial.seconds * self._updates >= LONG_SECONDS and len(self._request.members) > 1
