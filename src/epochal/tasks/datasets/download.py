"""Fetches one file: continues where it stopped, checks it, gives it its name only when it is whole."""

import errno
import http.client
import os
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from epochal.core.values.errors import UserError
from epochal.tasks.datasets.checksum import md5_of

Progress = Callable[[str, int, int | None], None]
"""Called with the file's name, bytes so far and bytes in all (None where the server does not say)."""

CHUNK_BYTES = 1 << 18
ATTEMPTS = 5


def download(
    address: str,
    target: Path,
    *,
    md5: str,
    num_bytes: int | None = None,
    progress: Progress | None = None,
    timeout_seconds: float = 30.0,
) -> Path:
    """``target``, after fetching ``address`` into ``target.part`` unless it is there already.

    What an interrupted attempt left in the ``.part`` is continued, now or by a later call. An attempt that
    brought nothing new ends the download. ``num_bytes`` (about) shows a full disk before the first byte.

    Raises:
        UserError: no network, refused by the server, a wrong checksum, a full or closed disk, or another
            file under the name already.
    """
    if target.is_file():
        if (found := md5_of(target)) == md5:
            return target
        raise UserError(
            f"{target} is there already, with md5 {found} instead of {md5}; remove it, then give the "
            "command again"
        )
    part = target.with_name(target.name + ".part")
    is_new = not target.parent.exists()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _require_room(part, num_bytes)
        _fetch(address, part, progress or _silent, timeout_seconds, target)
        _require_checksum(part, md5, address)
        os.replace(part, target)
    except OSError as error:
        raise _explained(error, target) from error
    finally:
        if is_new and target.parent.is_dir() and not any(target.parent.iterdir()):
            target.parent.rmdir()  # nothing came
    return target


def _fetch(address: str, part: Path, progress: Progress, timeout_seconds: float, target: Path) -> None:
    """Attempts until the file is complete."""
    for _ in range(ATTEMPTS):
        before = _size(part)
        trouble = ""
        try:
            if _attempt(address, part, progress, timeout_seconds, target.name):
                return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and before:
                return  # nothing is left to send: the checksum decides
            raise UserError(
                f"{address} answers {error.code} {error.reason}; fetch the file by hand and put it at "
                f"{target}"
            ) from error
        except _BROKEN as error:
            trouble = str(getattr(error, "reason", "")) or str(error) or type(error).__name__
        if _size(part) <= before:
            host = urlsplit(address).hostname
            raise UserError(
                f"cannot fetch {address}: {trouble or 'the connection ended early'}; check that {host} can "
                "be reached "
                f"(network, proxy), or fetch the file elsewhere and put it at {target}"
            )
    raise UserError(
        f"the connection broke {ATTEMPTS} times while fetching {address}; {_size(part)} bytes are kept: "
        "give the "
        "command again to continue"
    )


def _attempt(address: str, part: Path, progress: Progress, timeout_seconds: float, name: str) -> bool:
    """Appends what the server sends; whether all of it came."""
    start = _size(part)
    request = urllib.request.Request(address, headers={"User-Agent": "epochal"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    with urllib.request.urlopen(request, timeout=timeout_seconds) as response:
        continues = response.status == http.HTTPStatus.PARTIAL_CONTENT and response.headers.get(
            "Content-Range", ""
        ).startswith(f"bytes {start}-")
        done = start if continues else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length is not None else None
        with part.open("ab" if continues else "wb") as file:
            progress(name, done, total)
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                progress(name, done, total)
            file.flush()
            os.fsync(file.fileno())
    return total is None or done >= total


def _require_checksum(part: Path, md5: str, address: str) -> None:
    found = md5_of(part)
    if found != md5:
        size = _size(part)
        part.unlink()
        raise UserError(
            f"{address} gave {size} bytes with md5 {found}, expected {md5}; removed: give the command "
            "again, or fetch "
            "the file from elsewhere"
        )


def _require_room(part: Path, num_bytes: int | None) -> None:
    free = shutil.disk_usage(part.parent).free
    wanted = (num_bytes or 0) - _size(part)
    if wanted > free:
        raise UserError(
            f"{part.parent} has {free / 1e6:.0f} MB free, {part.stem} needs {wanted / 1e6:.0f} MB more; "
            "make room, or "
            "choose another folder with EPOCHAL_DATA"
        )


def _explained(error: OSError, target: Path) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UserError(
            f"cannot write {target}: the disk is full; make room and give the command again, it continues "
            "where it "
            "stopped"
        )
    return UserError(
        f"cannot write {target}: {error.strerror or error}; choose a folder that you may write to with "
        "EPOCHAL_DATA"
    )


_BROKEN = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _silent(name: str, done: int, total: int | None) -> None:
    pass
