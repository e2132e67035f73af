"""One process at a time: an advisory lock that the kernel releases when its holder dies."""

import errno
import fcntl
import os
import re
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from epochal.core.values.errors import UserError
from epochal.store.atomic import explain_disk_errors


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that holds a lock: ``since`` tells it from a later one with the same ``pid``."""

    pid: int
    host: str
    since: str

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine."""
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        """Whether that very process still runs on this machine."""
        return self.is_here and bool(self.since) and process_start(self.pid) == self.since


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
                holder = _read(descriptor).partition(" since ")[0]
                raise UserError(
                    f"{path.parent} is in use by process {holder or '(unknown)'}; wait for it or stop it"
                )
            time.sleep(0.01)
        with explain_disk_errors(path, wanted_bytes=64):
            os.ftruncate(descriptor, 0)
            mine = f"{os.getpid()} on {socket.gethostname()} since {process_start(os.getpid())}\n"
            os.pwrite(descriptor, mine.encode(), 0)
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


def holder(path: Path) -> Holder | None:
    """Who holds the lock file ``path`` at this moment; None where nobody does, or where it does not say."""
    if not is_held(path):
        return None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        found = _HOLDER.fullmatch(_read(descriptor))
    finally:
        os.close(descriptor)
    return Holder(pid=int(found["pid"]), host=found["host"], since=found["since"]) if found else None


def process_start(pid: int) -> str:
    """When a process of this machine started, as its kernel says it; empty where there is none."""
    try:
        # The name in parentheses may hold spaces; the start is the 22nd field, in ticks since boot.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self").exists():
            return ""
    asked = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], check=False, capture_output=True, text=True
    )
    return " ".join(asked.stdout.split())


_HOLDER = re.compile(r"(?P<pid>\d+) on (?P<host>\S+) since (?P<since>.*)")


def _read(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace").strip()


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
