"""Runs one request in processes of their own that kill themselves at chosen moments.

``python -m tests.launch.driver`` reads lines of a moment, a tab and a folder of runs, and answers each with
the exit status of the process. Moments: ``never``, ``step:K`` (after update K), ``write:N`` (half-way through
the N-th write of the process), ``rename:N`` (before the N-th rename), ``done`` (when everything but the
metrics and ``DONE`` is written). Each process is a fork of this one, which only imports: that takes seconds.
"""

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from epochal.experiments.catalog import find
from epochal.launch.execute import execute
from epochal.launch.watching.listener import Silent
from epochal.store import atomic, directory, records

SETTINGS = {
    "modulus": 11, "width": 16, "heads": 2, "batch_size": 16, "train_fraction": "0.4,0.6", "seed": "0:2",
    "max_steps": 60, "record_every": 4, "snapshot_every": 10, "threads": 1, "checkpoint_minutes": 1e-9,
}  # fmt: skip


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


class DyingListener(Silent):
    def __init__(self, last_step: int) -> None:
        self._last_step = last_step

    def updated(self, pack: int, step: int) -> None:
        if step == self._last_step:
            die()


def main(runs: str, moment: str) -> None:
    kind, _, number = moment.partition(":")
    count = 0

    def dying_write(descriptor: int, data: bytes) -> None:
        nonlocal count
        count += 1
        if count == int(number):
            os.write(descriptor, data[: len(data) // 2])
            die()
        whole_write(descriptor, data)

    def dying_replace(source: Path, target: Path) -> None:
        nonlocal count
        count += 1
        if count == int(number):
            die()
        whole_replace(source, target)

    whole_write, whole_replace = atomic.write_all, os.replace
    if kind == "write":
        for module in (atomic, directory, records):
            setattr(module, "write_all", dying_write)  # noqa: B010
    elif kind == "rename":
        setattr(os, "replace", dying_replace)  # noqa: B010
    experiment = find("algorithmic")
    execute(
        experiment,
        experiment.request(SETTINGS),
        Path(runs) / "run",
        DyingListener(int(number) if kind == "step" else -1),
        before_done=(lambda path: die()) if kind == "done" else None,
    )


def in_a_process(runs: str, moment: str) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            main(runs, moment)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    for line in sys.stdin:
        wanted_moment, wanted_runs = line.rstrip("\n").split("\t")
        print(in_a_process(wanted_runs, wanted_moment), flush=True)
