"""Many curves or members at once, over processes if asked; what comes out is the same, one by one or not."""

import inspect
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Required, TypedDict, Unpack

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from epochal.analysis.curves.detect import Direction, detect
from epochal.analysis.curves.serve import answer
from epochal.core.values.errors import UserError
from epochal.core.values.event import Event
from epochal.core.values.learning import Estimate, Grokking

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]


class Options(TypedDict, total=False):
    """The options of ``detect``, whose defaults hold."""

    kind: Required[Literal["accuracy", "positive", "real"]]
    direction: Direction
    trials: float | None
    min_height: float | None
    level: float
    seed: int


def detect_many(
    steps: ArrayLike,
    values: Float[Array, "M T"],
    *,
    workers: int = 1,
    progress: Progress = lambda _done, _of: None,
    **options: Unpack[Options],
) -> list[Event]:
    """``detect`` on each row of ``values``, all recorded at ``steps``; row m is ``detect(steps, values[m])``.

    Curves on one schedule share the shapes they are compared with, so that the first costs some 50 ms more
    than the others. ``workers`` processes divide the rest; no number depends on it. Rows in which the same
    records are NaN still share a schedule.

    Raises:
        UserError: as ``detect``, at the first row that is malformed.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2:
        raise UserError(f"values has shape {matrix.shape}: give one row per curve and one column per step")
    # An unknown option is an error here, not in a worker.
    inspect.signature(detect).bind(steps, values, **options)
    listed = np.asarray(steps, dtype=np.float64).tolist()
    jobs = [{"steps": listed, "values": row.tolist(), **options} for row in matrix]
    return [as_event(row) for row in run("detect", jobs, workers, progress)]


def grokking_many(
    jobs: Sequence[dict[str, Any]], *, workers: int = 1, progress: Progress = lambda _done, _of: None
) -> list[Grokking]:
    """``grokking(**job)`` for each of ``jobs``; steps and accuracies are lists of numbers."""
    return [as_grokking(row) for row in run("grokking", jobs, workers, progress)]


def run(task: str, jobs: Sequence[dict[str, Any]], workers: int, progress: Progress) -> list[dict[str, Any]]:
    """The results of all jobs in their order, as dictionaries."""
    results: list[dict[str, Any]] = [{}] * len(jobs)
    if workers <= 1:
        for number, job in enumerate(jobs):
            results[number] = answer(task, job)
            progress(number + 1, len(jobs))
        return results
    queue, lock = iter(range(len(jobs))), threading.Lock()
    done = 0

    def serve() -> None:
        nonlocal done
        with Worker(task) as worker:
            while True:
                with lock:
                    number = next(queue, None)
                if number is None:
                    return
                results[number] = worker.ask(jobs[number])
                with lock:
                    done += 1
                    progress(done, len(jobs))

    with ThreadPoolExecutor(workers) as pool:
        for served in [pool.submit(serve) for _ in range(min(workers, len(jobs)))]:
            served.result()
    return results


class Worker:
    """A process that answers jobs with results, a line of JSON each (which keeps every digit).

    A process of its own, and no fork or import of the caller's main module: it does not matter what threads
    the caller runs or how its script was written.
    """

    def __init__(self, task: str) -> None:
        source = str(Path(__file__).resolve().parents[2])
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")])),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "epochal.analysis", task],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process that looks for transitions ended with {self.process.wait()}")
        said: dict[str, Any] = json.loads(line)
        if "user_error" in said:
            raise UserError(said["user_error"])
        return said


def as_event(row: dict[str, Any]) -> Event:
    return Event(**row)


def as_grokking(row: dict[str, Any]) -> Grokking:
    nested: dict[str, Any] = {name: as_event(row[name]) for name in ("memorisation", "generalisation")}
    nested["loss"] = as_event(row["loss"]) if row["loss"] is not None else None
    nested |= {name: Estimate(**row[name]) for name in ("delay", "ratio", "plateau")}
    return Grokking(**row | nested)
