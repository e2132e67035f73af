"""A run's packs and how they train: as recorded, as asked for, as is known of the model, or as measured."""

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from epochal.core.values.executor import Executor, InProcess
from epochal.core.values.request import Request
from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.experiments.catalog import Experiment
from epochal.launch.packs import Pack, packs_of
from epochal.store.paths import RunPaths

KNOWN: dict[str, InProcess] = {"mlp": "vmap", "transformer": "vmap"}
"""Kinds of model that gain from batching, but in large packs of wide ones (bench/results/populations.md)."""

GAIN = 1.15
"""``vmap`` has to be this much faster than ``loop``, whose results do not depend on a member's neighbours."""

TRIALS = 3


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The packs of a run, and why: ``measured`` holds seconds per update, ``notes`` what a user should know.

    ``fill`` puts into a new run what it does not start without: states that its packs continue from.
    ``origin`` says where they come from; the first ``num_adopted`` packs are another run's.
    """

    packs: tuple[Pack, ...]
    executor: Executor
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
            "executor_measured": [dict(row) for row in self.measured],
            "origin": dict(self.origin),
        }


def recorded(spec: Mapping[str, Any]) -> Layout:
    """The layout that a run's ``spec.json`` tells."""
    both = zip(spec["packs"], spec["executors"], strict=True)
    packs = tuple(Pack(number=k, members=tuple(m), executor=e) for k, (m, e) in enumerate(both))
    return Layout(
        packs=packs, executor=spec["executor"], measured=spec["executor_measured"], origin=spec["origin"]
    )


def choose(
    experiment: Experiment, request: Request, *, among: Sequence[int] | None = None, first_number: int = 0
) -> Layout:
    """Packs and executors of a new run, or of some of its members.

    With ``executor=processes`` members are spread over as many packs as there are cores. ``auto`` takes what
    is known of the model's kind, else measures one pack per kind; it never takes ``processes``, which pays
    only for networks whose operations are too small for several threads, and long runs.
    """
    spec = request.spec
    groups = packs_of(request.members, spec.pack_limit, among)
    if spec.executor == "processes" and len(groups) < workers(spec.threads):
        largest = -(-sum(map(len, groups)) // workers(spec.threads))
        groups = packs_of(request.members, min(largest, spec.pack_limit or largest), among)
    decided: dict[str, InProcess] = {}
    measured: list[dict[str, Any]] = []
    notes: list[str] = []
    packs = []
    for number, group in enumerate(groups, first_number):
        members = tuple(request.members[member] for member in group)
        kind = str(getattr(members[0], "model", ""))
        if len(group) == 1:
            executor: InProcess = "loop"
        elif spec.executor in ("vmap", "loop"):
            executor = spec.executor
        else:
            if kind not in decided:
                decided[kind] = KNOWN.get(kind) or _measured(experiment.build(members), kind, measured, notes)
            executor = decided[kind]
        packs.append(Pack(number=number, members=tuple(group), executor=executor))
    used: Executor = "processes" if spec.executor == "processes" else _common(packs)
    return Layout(packs=tuple(packs), executor=used, measured=measured, notes=tuple(notes))


def workers(threads: int) -> int:
    """Processes that train at the same time: one per core, or as many as ``threads`` says."""
    return threads or os.cpu_count() or 1


def _common(packs: Sequence[Pack]) -> Executor:
    return "vmap" if any(pack.executor == "vmap" for pack in packs) else "loop"


def _measured(program: Program, kind: str, measured: list[dict[str, Any]], notes: list[str]) -> InProcess:
    """The faster of vmap and loop on a throwaway population; loop where vmap cannot."""
    seconds: dict[str, float] = {}
    for executor in ("loop", "vmap"):
        trial = replace(program, executor=executor, is_compiled=False)
        try:
            seconds[executor] = _seconds_per_update(trial)
        except Exception as error:  # vmap may fail in any way in a user's own forward pass
            if executor == "loop":
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
            notes.append(f"model={kind} cannot be batched over members ({reason}); they train in turn")
    chosen: InProcess = "vmap" if seconds.get("vmap", float("inf")) * GAIN < seconds["loop"] else "loop"
    rounded = {name: float(f"{value:.3g}") for name, value in seconds.items()}
    measured.append(
        {"model": kind, "members": program.num_members, "chosen": chosen, "seconds_per_update": rounded}
    )
    return chosen


def _seconds_per_update(program: Program) -> float:
    population, stepper = initial_population(program), Stepper(program)
    stepper.update(population)
    seconds = []
    for _ in range(TRIALS):
        start = time.perf_counter()
        stepper.update(population)
        if program.device.type == "cuda":
            torch.cuda.synchronize(program.device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
