"""What several benchmarks share: ways timed in turns in one process, ratios of the same turn, their rows."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch

from epochal.launch.environment import describe


def in_turns(ways: Mapping[str, Callable[[], object]], turns: int) -> dict[str, list[float]]:
    """Seconds on the clock per way and turn, after a warm-up of each."""
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            seconds[name].append(seconds_of(way))
    return seconds


def seconds_of(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def spread(values: Sequence[float], digits: str = ".3f") -> str:
    """Median, lowest and highest."""
    return f"{statistics.median(values):{digits}} ({min(values):{digits}} to {max(values):{digits}})"


RATIOS = ["| ratio | median | range | asked |", "|---|---|---|---|"]


def ratio_row(words: str, above: Sequence[float], below: Sequence[float], asked: str = "") -> str:
    """Of the same turn each."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    middle = statistics.median(ratios)
    return f"| {words} | **{middle:.2f}** | {min(ratios):.2f} to {max(ratios):.2f} | {asked} |"


def place() -> str:
    """Processor, threads, versions."""
    found = describe(torch.device("cpu"), torch.get_num_threads())
    return (
        f"{found['hardware']}, {found['threads']} threads, torch {found['torch']}, "
        f"Python {platform.python_version()}"
    )
