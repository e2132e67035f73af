"""Seconds per update of a throwaway pack, by executor."""

import statistics
import time
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from epochal.core.values.executor import Executor, InProcess
from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper

GAIN = 1.15
"""``vmap`` has to be this much faster than ``loop``, whose results do not depend on a member's neighbours."""

GAIN_SIDE_BY_SIDE = 1.5
"""So much faster have ``processes`` to be: they are timed without the others, which will share the memory."""

TRIALS = 3


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Seconds per update of the pack; ``problem`` says why there are none of ``vmap``."""

    seconds: Mapping[Executor, float]
    problem: str = ""


def time_executors(program: Program, among: Set[Executor], num_workers: int) -> Timed:
    """Times these executors; ``processes`` as one thread's loop, divided by the number of workers.

    Raises:
        Exception: whatever training a member in turn raises.
    """
    seconds: dict[Executor, float] = {}
    problem = ""
    if "loop" in among:
        seconds["loop"] = _seconds_per_update(replace(program, executor="loop", is_compiled=False))
    if "vmap" in among:
        try:
            seconds["vmap"] = _seconds_per_update(replace(program, executor="vmap", is_compiled=False))
        except Exception as error:  # vmap may fail in any way in a user's own forward pass
            problem = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
    if "processes" in among:
        with _one_thread():
            in_turn = _seconds_per_update(replace(program, executor="loop", is_compiled=False))
        seconds["processes"] = in_turn / num_workers
    return Timed(seconds=seconds, problem=problem)


def faster_in_process(seconds: Mapping[Executor, float]) -> InProcess:
    """``vmap`` where it gains enough, else ``loop``; what was not timed does not count."""
    if "loop" not in seconds:
        return "vmap"
    return "vmap" if seconds.get("vmap", float("inf")) * GAIN < seconds["loop"] else "loop"


def is_faster_side_by_side(seconds: Mapping[Executor, float]) -> bool:
    """Whether ``processes`` were timed and gain enough over the best of one process."""
    best = min((value for name, value in seconds.items() if name != "processes"), default=float("inf"))
    return seconds.get("processes", float("inf")) * GAIN_SIDE_BY_SIDE < best


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


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
