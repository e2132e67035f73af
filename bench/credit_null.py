"""How fast the null of credit is drawn: against the machine's matrix products, and against a draw at a time.

    ./do bench credit_null

Per size: seconds of 1,000 draws (``fresh_statistics``), of as many one after the other in plain NumPy (from a
twentieth of them), of the closed form; the share of the measured rate of a large matrix product (float32, or
float64 below 32 features) that the 2 n d C operations of a draw reach; the most memory held. Ways run in
turns in one process. CPU seconds are those of all threads, which change less on a busy machine.
"""

import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from epochal.analysis.nulls import null_variance
from epochal.analysis.nulls.directions import Directions, directions
from epochal.analysis.nulls.fresh import FEW_FEATURES, fresh_statistics

RESULTS = Path(__file__).parent / "results" / "credit-null.md"
DRAWS = 1000
TURNS = 5
SIZES = (
    (2048, 256, 10),
    (1024, 256, 10),
    (8192, 256, 10),
    (2048, 1024, 10),
    (2048, 16, 10),
    (2048, 256, 100),
)


def main() -> None:
    lines = [
        "# Speed of the null of credit",
        "",
        (
            f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
            f"NumPy {np.__version__}. {DRAWS:,} draws; medians of {TURNS} turns after one to warm up, range "
            "in brackets. Written by `bench/credit_null.py`."
        ),
        "",
        (
            "| samples | features | classes | seconds | CPU seconds | one at a time, CPU | ratio | "
            "share of matrix rate (CPU) | memory | closed form, CPU |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines[2:]), flush=True)
    for n, d, classes in SIZES:
        known = example(n, d, classes)
        dtype = np.float32 if d >= FEW_FEATURES else np.float64
        square = np.ones((2048, 2048), dtype=dtype)
        one_by_one = DRAWS // 20
        turns = [
            (
                seconds(lambda known=known: fresh_statistics([known], draws=DRAWS, seed=0)),
                seconds(lambda known=known, k=one_by_one: in_turn(known, k)),
                seconds(lambda square=square: square @ square),
                seconds(lambda known=known: null_variance(known.errors, known.gradients)),
            )
            for _ in range(TURNS + 1)
        ][1:]
        clock = statistics.median(turn[0][0] for turn in turns)
        ours, plain, product, closed = (statistics.median(turn[k][1] for turn in turns) for k in range(4))
        ratios = [turn[1][1] * DRAWS / one_by_one / turn[0][1] for turn in turns]
        least = 2 * n * d * classes * DRAWS / (2 * 2048**3) * product
        lines.append(
            f"| {n:,} | {d:,} | {classes} | {clock:.3f} | {ours:.3f} | {plain * DRAWS / one_by_one:.2f} | "
            f"**{statistics.median(ratios):.1f}** ({min(ratios):.1f} to {max(ratios):.1f}) | "
            f"{least / ours:.0%} | {held(known):.0f} MiB | {closed:.3f} |"
        )
        print(lines[-1], flush=True)
    RESULTS.write_text("\n".join(lines) + "\n")


def example(n: int, d: int, classes: int) -> Directions:
    g = np.random.Generator(np.random.PCG64(0))
    errors = g.normal(size=(n, classes))
    return directions(errors, errors @ g.normal(size=(classes, d)) + g.normal(size=(n, d)))


def in_turn(known: Directions, draws: int) -> list[float]:
    """A draw after the other, in float64, as one would write it down."""
    g = np.random.Generator(np.random.PCG64(0))
    d, classes = known.gradients.shape[1], known.errors.shape[1]
    found = []
    for _ in range(draws):
        credit = known.errors @ g.normal(size=(d, classes)).T
        along = np.sum(credit * known.gradients, axis=1) / np.linalg.norm(credit, axis=1)
        found.append(float(along.mean()))
    return found


def seconds(action: Callable[[], object]) -> tuple[float, float]:
    """On the clock, and of all threads of this process."""
    clock, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - clock, time.process_time() - cpu


def held(known: Directions) -> float:
    """The most memory that the draws had at a time, beyond what they were given."""
    tracemalloc.start()
    fresh_statistics([known], draws=DRAWS, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


if __name__ == "__main__":
    main()
