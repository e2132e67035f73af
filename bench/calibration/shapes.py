"""Which shape does ``detect_all`` name, and which transitions does it find, where there are none or several?

Writes bench/results/calibration-shapes.md. One core; about ten minutes with the default replicates.
"""

import argparse
import platform
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import ruptures
import scipy

from bench.calibration.curves import Array, logistic, observe, seeds, wander
from epochal.analysis.curves.changes import detect_all
from epochal.core.values.changes import SHAPES, Changes

RESULT = Path(__file__).resolve().parents[1] / "results" / "calibration-shapes.md"
T = 200
STEPS = np.arange(T) * 100.0
NOISE = (0.0, 0.9)
SD = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicates", type=int, default=100, help="curves per row")
    parser.add_argument("--workers", type=int, default=1, help="processes; no number depends on it")
    parser.add_argument("--quick", action="store_true", help="10 replicates, a look and no result")
    options = parser.parse_args()
    replicates = 10 if options.quick else options.replicates
    started = time.perf_counter()
    lines = [
        "# Calibration: which shape, and how many transitions?",
        "",
        f"{replicates} curves per row of {T} records: a rate of .05 has a standard error of",
        f"{np.sqrt(0.05 * 0.95 / replicates):.3f}. Noise of sd {SD} around the curve, heights in the unit of",
        "an accuracy, min_height .1, level .05.",
        f"Written by `bench/calibration/shapes.py` with NumPy {np.__version__}, SciPy {scipy.__version__},",
        f"ruptures {ruptures.__version__}, {platform.machine()}.",
        "",
        "## Shapes",
        "",
        "Each cell: the share of curves that are given the shape.",
        "",
        f"| truth | AR phi | {' | '.join(SHAPES)} |",
        "|---" * (len(SHAPES) + 2) + "|",
    ]
    counts: dict[tuple[str, float], list[Changes]] = {}
    rows = [(name, phi) for name in TRUTHS for phi in NOISE]
    with ProcessPoolExecutor(options.workers) as pool:
        family = pool.submit(nothing, 3 * replicates)
        jobs = [pool.submit(changes, name, phi, replicates) for name, phi in rows]
        for (name, phi), job in zip(rows, jobs, strict=True):
            found = counts[name, phi] = job.result()
            share = Counter(f.shape for f in found)
            cells = " | ".join(f"{share[s] / replicates:.2f}" if share[s] else "" for s in SHAPES)
            lines.append(f"| {name} | {phi} | {cells} |")
            print(lines[-1], f"({time.perf_counter() - started:.0f} s)", flush=True)
        lines += ["", *family.result()]
    lines += [
        "",
        "## Transitions",
        "",
        "Found within five records of a planted one (a width where that is more), with its sign; false where",
        "none is; every planted one within the interval of the event matched to it. In the last two columns",
        "ruptures' PELT on the same curves (normal cost, penalty 3 log T; every change point counts),",
        "as a second opinion: it assumes independent records.",
        "",
        "| truth | AR phi | planted | all found | any false | covered | PELT: all found | any false |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (name, phi), found in counts.items():
        planted = TRUTHS[name][1]
        hits, false, inside, matched = 0, 0, 0, 0
        for f in found:
            pairs = [(t, e) for t in planted for e in f.events if near(t, e.step / 100, e.height)]
            hits += len({t for t, _ in pairs}) == len(planted)
            false += len(f.events) > len({e.step for _, e in pairs})
            matched += len(pairs)
            inside += sum(e.low <= t[0] * 100 <= e.high for t, e in pairs)
        other = [second_opinion(curve(name, phi, rng)) for rng in seeds(f"shape {name} {phi}", replicates)]
        theirs = np.mean([all(any(near(t, p, t[2]) for p in o) for t in planted) for o in other])
        wrong = np.mean([any(not any(near(t, p, t[2]) for t in planted) for p in o) for o in other])
        n = replicates
        lines.append(
            f"| {name} | {phi} | {len(planted)} | "
            f"{f'{hits / n:.2f}' if planted else '–'} | {false / n:.2f} | "
            f"{f'{inside / matched:.2f}' if matched else '–'} | "
            f"{f'{theirs:.2f}' if planted else '–'} | {wrong:.2f} |"
        )
    print("\n".join(lines[-len(counts) :]), flush=True)
    if not options.quick:
        RESULT.write_text("\n".join(lines).rstrip() + "\n")


def changes(name: str, phi: float, replicates: int) -> list[Changes]:
    return [
        detect_all(STEPS, curve(name, phi, rng), kind="accuracy", seed=r)
        for r, rng in enumerate(seeds(f"shape {name} {phi}", replicates))
    ]


def nothing(replicates: int) -> list[str]:
    """The test alone: min_height 0, so that nothing is too small to be named."""
    lines = [
        "## False alarms of the whole family",
        "",
        f"At min_height 0 and level .05 on {replicates} curves each of noise around a constant (standard",
        f"error {np.sqrt(0.05 * 0.95 / replicates):.3f}): any shape but none, any transition.",
        "",
        "| noise | 60 records: any shape | any transition | 200 records: any shape | any transition |",
        "|---|---|---|---|---|",
    ]
    above = []
    for phi in (0.0, 0.5, 0.9, 0.95):
        cells = []
        for num_records in (60, 200):
            found = [
                detect_all(
                    np.arange(num_records),
                    0.02 * wander(num_records, phi, rng),
                    kind="real",
                    min_height=0,
                    seed=r,
                )
                for r, rng in enumerate(seeds(f"family {phi} {num_records}", replicates))
            ]
            any_shape = np.mean([f.shape != "none" for f in found])
            cells += [any_shape, np.mean([bool(f.events) for f in found])]
            if any_shape > 0.07:
                above.append(f"AR({phi}), {num_records} records: {any_shape:.3f}")
        lines.append(f"| AR({phi}) | {' | '.join(f'{c:.3f}' for c in cells)} |")
        print(lines[-1], flush=True)
    return [*lines, "", f"Cells above .07 (any shape): {'; '.join(above) or 'none'}."]


def near(planted: tuple[float, float, int], record: float, height: float) -> bool:
    at, width, sign = planted
    return abs(record - at) <= max(5.0, width) and height * sign > 0


def second_opinion(values: Array) -> list[float]:
    ends = ruptures.Pelt(model="normal", min_size=3).fit(values[:, None]).predict(pen=3 * np.log(T))
    return [end - 0.5 for end in ends[:-1]]


def curve(name: str, phi: float, rng: np.random.Generator) -> Array:
    if name == "none, binomial":
        return observe(np.full(T, 0.5), phi, 0.0, 500, rng)
    return observe(TRUTHS[name][0], phi, SD, None, rng)


def bumps(starts: list[int], length: int, height: float) -> Array:
    """Sudden, and back over ``length`` records."""
    values = np.full(T, 0.4)
    for s in starts:
        values[s : s + 4 * length] += height * np.exp(-np.arange(4 * length) / length)[: T - s]
    return values


t = np.arange(T, dtype=np.float64)
# Name: the mean, and the planted transitions as (record, width in records, sign).
TRUTHS: dict[str, tuple[Array, list[tuple[float, float, int]]]] = {
    "none": (np.full(T, 0.5), []),
    "none, binomial": (np.full(T, 0.5), []),
    "step .2": (logistic(t, 0.3, 0.2, 90.5, 0.2), [(90.5, 0.2, 1)]),
    "step -.4": (logistic(t, 0.7, -0.4, 120.5, 1.0), [(120.5, 1.0, -1)]),
    "ramp of 10 records": (logistic(t, 0.3, 0.4, 90.3, 10), [(90.3, 10, 1)]),
    "ramp of 40 records": (logistic(t, 0.3, 0.4, 90.3, 40), [(90.3, 40, 1)]),
    "drift, linear .3": (0.3 + 0.3 * t / T, []),
    "drift, saturating .3": (0.3 + 0.3 * (1 - np.exp(-3 * t / T)), []),
    "early transient .4": (0.8 - 0.4 * np.exp(-t / 6), []),
    "spike of 1 record": (np.where(t == 77, 0.8, 0.4), []),
    "spike of 8 records": (np.where((t >= 77) & (t < 85), 0.7, 0.4), []),
    "a slowly decaying spike": (bumps([90], 5, 0.4), []),
    "two decaying spikes": (bumps([60, 130], 3, 0.4), []),
    "two decaying spikes, 20 apart": (bumps([90, 110], 3, 0.4), []),
    "three decaying spikes": (bumps([50, 95, 150], 3, 0.4), []),
    "train: a spike every 10 records": (np.where(t % 10 == 5, 0.8, 0.4), []),
    "slingshot: 6 spikes": (bumps([30, 58, 85, 110, 140, 166], 2, 0.4), []),
    "sine, 8 cycles": (0.5 + 0.1 * np.sin(2 * np.pi * 8 * t / T), []),
    "ungrokking: rise, fall": (
        logistic(t, 0.2, 0.6, 60.4, 6) + logistic(t, 0, -0.5, 140.4, 15),
        [(60.4, 6, 1), (140.4, 15, -1)],
    ),
    "rollback: rise, fall, rise": (
        logistic(t, 0.2, 0.6, 50.4, 4) + logistic(t, 0, -0.5, 110.5, 0.5) + logistic(t, 0, 0.5, 150.4, 4),
        [(50.4, 4, 1), (110.5, 0.5, -1), (150.4, 4, 1)],
    ),
    "two rises": (
        logistic(t, 0.1, 0.3, 50.4, 8) + logistic(t, 0, 0.5, 140.4, 12),
        [(50.4, 8, 1), (140.4, 12, 1)],
    ),
    "spike, then a rise": (
        np.where((t >= 40) & (t < 44), 0.3, 0.0) + logistic(t, 0.2, 0.6, 120.4, 8),
        [(120.4, 8, 1)],
    ),
}


if __name__ == "__main__":
    main()
