"""Files that are there whole or not at all, and one line for a researcher when the disk refuses."""

import errno
import itertools
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from epochal.core.values.errors import UserError


def write_file(path: Path, data: bytes | bytearray | memoryview) -> None:
    """Put ``data`` at ``path`` so that a reader, a kill or a power cut sees the old file or the new one.

    Temporary in the same folder, fsync, rename, fsync of the folder. The temporary is removed on any
    error; a SIGKILL can leave one, which `remove_stale_temporaries` recognises by its dead process.

    Raises:
        UserError: the disk is full, a quota or limit is reached, or the folder may not be written to.
    """
    temporary = path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{next(_SERIAL)}.tmp")
    with explain_disk_errors(path, wanted_bytes=len(data)):
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of ``data`` at the descriptor's position; one system call unless the kernel cuts it short.

    Raises:
        OSError: as the kernel says it; part of ``data`` may then be in the file.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: Path) -> None:
    """Make renames and new names in ``folder`` durable, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems refuse to sync a folder; they order renames themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


@contextmanager
def explain_disk_errors(path: Path, *, wanted_bytes: int) -> Iterator[None]:
    """Turn what a full or closed disk raises while writing ``path`` into one `UserError` line.

    Raises:
        UserError: names the file, the cause, what was wanted, what is free, and the remedy.
        OSError: anything else, unchanged.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            cause = _NO_ROOM[error.errno]
            raise UserError(
                f"cannot write {path}: {cause} ({readable_bytes(wanted_bytes)} wanted, {_free(path)} free on "
                "the file system); free some space, then give the same command again"
            ) from error
        if error.errno in _NO_ENTRY:
            cause = _NO_ENTRY[error.errno]
            raise UserError(f"cannot write {path}: {cause}; choose a folder that you may write to") from error
        raise


def remove_stale_temporaries(folder: Path) -> None:
    """Remove what `write_file` left in ``folder`` in processes of this machine that were killed."""
    for path in folder.glob(".*.tmp"):
        parts = _TEMPORARY.fullmatch(path.name)
        if parts and parts["host"] == _HOST and not _is_alive(int(parts["pid"])):
            path.unlink(missing_ok=True)


def readable_bytes(num_bytes: float) -> str:
    """``1234567`` as ``1.2 MB``, in powers of 1000."""
    if num_bytes < 1000:
        return f"{num_bytes:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        num_bytes /= 1000
        if num_bytes < 999.95:
            return f"{num_bytes:.1f} {unit}"
    return f"{num_bytes / 1000:.1f} TB"


_NO_ROOM = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file size limit is reached",
}
_NO_ENTRY = {
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.EROFS: "the file system is read-only",
}
_HOST = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:64]
_SERIAL = itertools.count()
_TEMPORARY = re.compile(r"\..+\.(?P<host>[A-Za-z0-9._]+)-(?P<pid>\d+)-\d+\.tmp")


def _free(path: Path) -> str:
    try:
        status = os.statvfs(path.parent)
    except OSError:
        return "an unknown amount"
    return readable_bytes(status.f_bavail * status.f_frsize)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives and belongs to someone else
        return True
    return True
