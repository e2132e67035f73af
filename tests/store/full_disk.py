"""A disk that can be filled at will."""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Disk:
    """A folder that can hold a good 100 kB, and after `fill` nothing more."""

    def __init__(self, folder: Path, fill: Callable[[], None]) -> None:
        self.folder = folder
        self.fill = fill


def fill_to_the_brim(folder: Path) -> None:
    """Leave one page free, so that a longer write gets half-way."""
    with (folder / "ballast").open("wb", buffering=0) as ballast:
        with contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(4096))
        ballast.truncate(ballast.tell() - 4096)


def cut_short(write: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
    room = [1000]

    def half_way(descriptor: int, data: Any) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= (taken := min(room[0], len(data)))
        return write(descriptor, memoryview(data)[:taken])

    return half_way
