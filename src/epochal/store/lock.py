"""One process at a time: an advisory lock that the kernel releases when its holder dies."""

import errno
import fcntl
import os
import socket
import time
from pathlib import Path

from epochal.core.values.errors import UserError
from epochal.store.atomic import explain_disk_errors


def acquire(path: Path, *, patience_seconds: float = 0.3) -> int:
    """Hold the lock file ``path``, made if need be, until `release` or the end of this process.

    The patience bridges the moment in which `is_held` looks. A forked child shares the lock.

    Raises:
        UserError: another process holds it (with its pid), or the file system has no locks.
    """
    with explain_disk_errors(path, wanted_bytes=32):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        deadline = time.monotonic() + patience_seconds
        while not _try(descriptor, fcntl.LOCK_EX, path):
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
                raise UserError(
                    f"{path.parent} is in use by process {holder or '(unknown)'}; wait for it or stop it"
                )
            time.sleep(0.01)
        with explain_disk_errors(path, wanted_bytes=32):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def release(descriptor: int) -> None:
    """Let go of what `acquire` returned."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock file ``path`` at this moment."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _try(descriptor, fcntl.LOCK_SH, path)
    finally:
        os.close(descriptor)


def _try(descriptor: int, kind: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
            raise UserError(
                f"the file system of {path} has no file locks; put the runs on another one"
            ) from error
        raise
    return True
