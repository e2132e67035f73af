"""Memory that is freed and asked for again is not mapped anew, and is given back in the end."""

import ctypes
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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
    # In a process of its own: what other tests have freed moves glibc's thresholds.
    script = (
        "from epochal.launch.heap import kept_heap\n"
        "from tests.launch.test_heap import faults_of_a_step\n"
        "faults_of_a_step()\n"
        "usual = faults_of_a_step()\n"
        "with kept_heap():\n"
        "    faults_of_a_step()\n"
        "    print(usual, faults_of_a_step())\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    usual, kept = map(float, told.stdout.split())
    pages = (1 << 20) / PAGE
    assert kept < pages / 50
    assert usual > pages / 4, "by default it is given back in between: nothing would be gained"
