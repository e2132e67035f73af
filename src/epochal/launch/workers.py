"""Trains packs side by side, a process with one thread each."""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

import epochal
from epochal.core.values.errors import UserError
from epochal.core.values.outcome import Outcome
from epochal.launch.interrupts import Requests
from epochal.launch.memory import OutOfMemoryError
from epochal.launch.packs import Pack
from epochal.launch.training import Ended
from epochal.launch.watching.listener import Listener
from epochal.store.directory import RunDirectory
from epochal.store.states import state_steps

POLL_SECONDS = 0.2
"""How soon a request to stop is passed on."""


def train_side_by_side(
    directory: RunDirectory, packs: Sequence[Pack], count: int, listener: Listener, requests: Requests
) -> Iterator[tuple[Pack, Ended | OutOfMemoryError]]:
    """Each pack with what became of it, in the order in which they end; ``count`` train at a time.

    After a request to stop the running ones store their states and end; the others do not begin.

    Raises:
        UserError: what a worker said a user can mend; the other workers are stopped first.
    """
    waiting = list(packs)
    running: dict[IO[bytes], _Worker] = {}
    is_told = False
    with selectors.DefaultSelector() as selector:
        try:
            while running or (waiting and not requests.is_stop):
                while waiting and len(running) < count and not requests.is_stop:
                    worker = _Worker(directory, waiting.pop(0))
                    running[worker.output] = worker
                    selector.register(worker.output, selectors.EVENT_READ)
                if requests.is_stop and not is_told:
                    is_told = True
                    for worker in running.values():
                        worker.ask_to_stop()
                for key, _ in selector.select(POLL_SECONDS):
                    worker = running[key.fileobj]  # type: ignore[index]
                    if worker.hear(listener):
                        continue
                    selector.unregister(worker.output)
                    del running[worker.output]
                    yield worker.pack, worker.ended()
        finally:
            for worker in running.values():
                worker.ask_to_stop()
            for worker in running.values():
                worker.process.communicate()


class _Worker:
    def __init__(self, directory: RunDirectory, pack: Pack) -> None:
        self.pack = pack
        source = str(Path(epochal.__file__).parents[1])
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")])),
        }
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        # A session of its own: Ctrl-C reaches the parent alone, which passes it on once.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "epochal.launch.worker", str(directory.path), str(pack.number),
             str(directory.lock)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            pass_fds=(directory.lock,),
            start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.output: IO[bytes] = self.process.stdout
        self._heard = b""
        self._states = directory.paths.resume
        self._is_asked = False
        self._last: dict[str, Any] = {}

    def ask_to_stop(self) -> None:
        self._is_asked = True
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def hear(self, listener: Listener) -> bool:
        """Passes on what was said; False when there will be no more."""
        data = os.read(self.output.fileno(), 1 << 16)
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self._pass_on(json.loads(line), listener)
        return bool(data)

    def _pass_on(self, message: dict[str, Any], listener: Listener) -> None:
        match message:
            case {"record": record, "members": members, "step": step}:
                columns = {name: np.array(values, dtype=np.float64) for name, values in record.items()}
                listener.recorded(members, step, columns)
            case {"step": step}:
                listener.updated(self.pack.number, step)
            case {"note": text}:
                listener.noted(text)
            case _:
                self._last = message

    def ended(self) -> Ended | OutOfMemoryError:
        self.process.communicate()
        self._errors.seek(0)
        errors = self._errors.read().decode(errors="replace")
        self._errors.close()
        match self._last:
            case {"outcomes": outcomes, "wall_seconds": seconds, "at": at}:
                return Ended(
                    outcomes=[Outcome(**outcome) for outcome in outcomes], wall_seconds=seconds, stopped_at=at
                )
            case {"memory": wanted}:
                return OutOfMemoryError(wanted)
            case {"error": text}:
                raise UserError(text)
        code = self.process.returncode
        if code == -signal.SIGTERM and self._is_asked:  # before it could listen: nothing was begun or lost
            step = max(state_steps(self._states, self.pack.number), default=0)
            outcomes = [Outcome(status="running", step=step) for _ in self.pack.members]
            return Ended(outcomes=outcomes, wall_seconds=0.0, stopped_at=step)
        if code < 0:
            raise UserError(
                f"the process of pack {self.pack.number} was killed by signal {-code}, perhaps for lack of "
                "memory; give the same command to resume, with executor=loop to train in one process"
            )
        raise RuntimeError(f"the process of pack {self.pack.number} failed:\n{errors}")
