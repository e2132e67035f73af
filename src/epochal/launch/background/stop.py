"""Asks the process that trains a run to stop: that very process, or none."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from epochal.core.values.errors import UserError
from epochal.store.catalog import standing
from epochal.store.lock import Holder, holder, is_held
from epochal.store.paths import RunPaths


def stoppable(path: Path) -> Holder:
    """The process that holds the run, if it can be asked from here.

    Raises:
        UserError: none does, or it runs on another machine, or it does not say which it is.
    """
    lock = RunPaths(path).lock
    found = holder(lock)
    if found is None:
        if is_held(lock):
            raise UserError(f"{path.name} is held by a process that left no name in {lock}; end it by hand")
        raise UserError(f"{path.name} is not at work: {standing(path)}")
    if not found.is_here:
        raise UserError(
            f"{path.name} is at work on {found.host}; give `epochal stop {path.name}` on that machine"
        )
    if not found.is_alive:
        raise UserError(
            f"process {found.pid}, which trained {path.name}, is gone, but a process that it started holds "
            "the run; end that one by hand"
        )
    return found


def ask_to_stop(path: Path) -> Holder:
    """Sends SIGTERM to the process that holds the run; it stores its state after the update it is in.

    Raises:
        UserError: as `stoppable`, or the process belongs to another user.
    """
    found = stoppable(path)
    try:
        with _grip(found.pid) as descriptor:
            # Checked again with the process in hand: from here its number cannot pass to another one.
            if found.is_alive and is_held(RunPaths(path).lock):
                if descriptor is None:
                    os.kill(found.pid, signal.SIGTERM)
                else:
                    signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it has ended meanwhile, which is what was wanted
    except PermissionError as error:
        raise UserError(f"process {found.pid}, which trains {path.name}, is another user's") from error
    return found


@contextmanager
def _grip(pid: int) -> Iterator[int | None]:
    """A descriptor of the process, where the system has such a thing."""
    if not hasattr(os, "pidfd_open"):
        yield None
        return
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
