"""Memory that a training step frees stays with the process until training ends.

A step of a small network frees some twenty megabytes of activations and asks for them again a moment later.
glibc gives the top of its heap back to the system in between, and every page then has to be mapped and
zeroed anew: two thousand page faults and a tenth of the time of a step of MIML's transformer.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Numbers of the settings in glibc's ``malloc.h``."""

_USUAL = {_TRIM_THRESHOLD: 128 << 10, _TOP_PAD: 0, _MMAP_THRESHOLD: 128 << 10}
_KEPT = {_TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 64 << 20, _MMAP_THRESHOLD: 32 << 20}


@contextmanager
def kept_heap() -> Iterator[None]:
    """Changes no number. Does nothing where the C library is not glibc. Larger blocks than 32 MB are still
    mapped one by one and given back at once; the rest is given back in the end."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        yield
        return
    _set(libc, _KEPT)
    try:
        yield
    finally:
        _set(libc, _USUAL)
        libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, values: dict[int, int]) -> None:
    for setting, value in values.items():
        libc.mallopt(setting, value)
