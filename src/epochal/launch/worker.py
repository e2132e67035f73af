"""A process that trains one pack of a run: ``python -m epochal.launch.worker RUN PACK LOCK``.

Its parent holds the run's lock and hands it down (LOCK is the descriptor), so that the run stays in use until
the last of its processes has ended. What a listener would be told goes to standard output as JSON, one object
per line. SIGTERM, or a parent that is gone, stores the state and ends.
"""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from epochal.core.values.errors import UserError
from epochal.experiments.restore import program_of
from epochal.launch.interrupts import Requests, stop_requests
from epochal.launch.memory import memory_wanted
from epochal.launch.packs import Pack
from epochal.launch.training import train_pack
from epochal.launch.watching.listener import Silent
from epochal.store.directory import RunDirectory
from epochal.store.paths import RunPaths
from epochal.store.run import load

SECONDS_BETWEEN_STEPS = 0.1
"""Between two messages that only say how far training is."""


class Reporter(Silent):
    """Tells the parent; one that has gone asks for a stop instead."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._told_at = 0.0

    def updated(self, pack: int, step: int) -> None:
        if time.monotonic() - self._told_at > SECONDS_BETWEEN_STEPS:
            self._told_at = time.monotonic()
            self.tell({"step": step})

    def recorded(self, members: Sequence[int], step: int, record: Mapping[str, NDArray[np.float64]]) -> None:
        values = {name: column.tolist() for name, column in record.items()}
        self.tell({"members": list(members), "step": step, "record": values})

    def noted(self, text: str) -> None:
        self.tell({"note": text})

    def tell(self, message: Mapping[str, Any]) -> None:
        try:
            print(json.dumps(message), flush=True)
        except BrokenPipeError:
            self._requests.is_stop = True


def main(path: str, number: str, lock: str) -> None:
    """Trains pack ``number`` of the run at ``path``."""
    torch.set_num_threads(1)
    run = load(Path(path))
    pack = Pack(
        number=int(number),
        members=tuple(run.spec["packs"][int(number)]),
        executor=run.spec["executors"][int(number)],
    )
    directory = RunDirectory(paths=RunPaths(run.path), lock=int(lock))
    with stop_requests() as requests:
        reporter = Reporter(requests)
        try:
            program = program_of(run, pack.members, executor=pack.executor)
            ended = train_pack(
                directory,
                pack,
                program,
                reporter,
                requests,
                checkpoint_minutes=run.spec["fields"]["checkpoint_minutes"],
                snapshot_optimizer=run.spec["fields"]["snapshot_optimizer"],
            )
        except UserError as error:
            reporter.tell({"error": str(error)})
        except (RuntimeError, MemoryError) as error:
            if not (wanted := memory_wanted(error)):
                raise
            reporter.tell({"memory": wanted})
        else:
            outcomes = [asdict(outcome) for outcome in ended.outcomes]
            reporter.tell({"outcomes": outcomes, "wall_seconds": ended.wall_seconds, "at": ended.stopped_at})


if __name__ == "__main__":
    main(*sys.argv[1:])
