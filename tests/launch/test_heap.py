"""Memory that is freed and asked for again is not mapped anew, and is given back in the end."""

import ctypes
import resource
import sys

import pytest

from epochal.launch.heap import kept_heap

PAGE = resource.getpagesize()
MEGABYTES, TIMES = 8, 20
glibc = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc"
)


def faults_of_a_step() -> float:
    """Page faults per megabyte of asking for memory, touching all of it, and freeing it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(TIMES):
        parts = [bytearray(b"x" * (1 << 20)) for _ in range(MEGABYTES)]
        del parts
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / (TIMES * MEGABYTES)


@glibc
def test_freed_memory_is_used_again_without_page_faults() -> None:
    with kept_heap():
        faults_of_a_step()
        kept = faults_of_a_step()
    usual = faults_of_a_step()
    pages = (1 << 20) / PAGE
    assert kept < pages / 50
    assert usual > pages / 4, "by default it is given back in between: nothing would be gained"
