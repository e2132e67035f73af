"""Starts training in a process of its own, which goes on when the terminal closes."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from epochal.core.values.errors import UserError
from epochal.launch.watching.follow import pause
from epochal.store.atomic import explain_disk_errors
from epochal.store.lock import holder
from epochal.store.paths import RunPaths

LOOK_SECONDS = 0.05

NOT_INHERITED = ("FORCE_COLOR", "WANDB_SERVICE")
"""A file has no colours; and what serves this process's W&B runs ends with it."""


def detach(words: Sequence[str], path: Path, wait: Callable[[float], object] = pause) -> int | None:
    """Gives ``epochal WORDS...``, which trains the run ``path``, to a session of its own.

    Returns its process number once it holds the run: then all of the request was found good. None if it
    has finished the run by then. What it prints goes to the run's ``output.txt``.

    Raises:
        UserError: what that process complained of before it began; nothing is left of it then.
    """
    with explain_disk_errors(path, wanted_bytes=0):
        is_new_folder = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside the run until there is one: a file stays open when it is moved.
        output = (
            RunPaths(path).output if path.exists() else path.parent / f".{path.name}.{os.getpid()}.output"
        )
        start = output.stat().st_size if output.exists() else 0
        with output.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "epochal.cli", *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                env={name: value for name, value in os.environ.items() if name not in NOT_INHERITED},
            )
    try:
        while process.poll() is None:
            found = holder(RunPaths(path).lock)
            if found is not None and found.pid == process.pid:
                _move(output, path)
                # Waited for as long as this process lives, lest it stays behind as a zombie.
                threading.Thread(target=process.wait, daemon=True).start()
                return process.pid
            wait(LOOK_SECONDS)
    except BaseException:
        process.terminate()
        process.wait()
        _move(output, path)
        raise
    said = output.read_bytes()[start:].decode(errors="replace").splitlines()
    _move(output, path)
    if is_new_folder and not any(path.parent.iterdir()):
        path.parent.rmdir()
    if process.returncode == 0 and RunPaths(path).done.exists():
        return None
    complaints = [line.removeprefix("epochal: ") for line in said if line.startswith("epochal: ")]
    raise UserError(
        "\n".join(complaints or [f"the detached process ended with code {process.returncode}", *said[-20:]])
    )


def _move(output: Path, path: Path) -> None:
    """Into the run, or away if there is none."""
    if path.exists():
        output.replace(RunPaths(path).output)
    else:
        output.unlink(missing_ok=True)
