"""Which outcome does ``grokking`` name, and do delay, ratio and plateau cover?

Writes bench/results/calibration-grokking.md. One core; a few minutes with the default replicates.
"""

import argparse
import platform
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy

from bench.calibration.curves import Array, logistic, observe, seeds
from epochal.analysis import grokking
from epochal.core.values.learning import LEARNINGS, Grokking

RESULT = Path(__file__).resolve().parents[1] / "results" / "calibration-grokking.md"
SCHEDULES = {
    "linear": np.arange(200) * 100.0,
    "log": np.unique(np.concatenate([[0.0], np.rint(np.geomspace(1, 20_000, 110))])),
}
CHANCE = 1 / 47
TRIALS = 1000
NOISE = (0.9, 0.01)  # AR(1) over records, before the binomial sample


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Mean accuracies, and the planted times where both happen (midpoints, in steps)."""

    train: Array
    val: Array
    outcome: str
    memorisation: float = np.nan
    generalisation: float = np.nan
    level: float = np.nan  # of validation between them


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicates", type=int, default=100, help="networks per row")
    parser.add_argument("--workers", type=int, default=1, help="processes; no number depends on it")
    parser.add_argument("--quick", action="store_true", help="10 replicates, a look and no result")
    options = parser.parse_args()
    n = 10 if options.quick else options.replicates
    started = time.perf_counter()
    names = [name for name in LEARNINGS if name != "diverged"]
    lines = [
        "# Calibration: grokking as one event",
        "",
        f"{n} networks per row: a rate of .95 has a standard error of {np.sqrt(0.05 * 0.95 / n):.3f}.",
        f"Accuracies on {TRIALS} examples, over levels that wander by AR({NOISE[0]}), sd {NOISE[1]}; chance",
        "is 1/47.",
        "Threshold .9, min_ratio 2. `linear`: a record every 100 of 20,000 steps; `log`: about 90 records.",
        f"Written by `bench/calibration/grokking.py` with NumPy {np.__version__},",
        f"SciPy {scipy.__version__}, {platform.machine()}.",
        "",
        "Left: the share of networks with each outcome. Right: how often the 95% intervals of delay, ratio",
        "and plateau hold the truth, and how many networks have an interval at all.",
        "",
        f"| truth | records | {' | '.join(names)} | delay | ratio | plateau |",
        "|---" * (len(names) + 5) + "|",
    ]
    with ProcessPoolExecutor(options.workers) as pool:
        rows = [(name, schedule) for name in TRUTHS for schedule in SCHEDULES]
        jobs = [pool.submit(networks, name, schedule, n) for name, schedule in rows]
        for (name, schedule), job in zip(rows, jobs, strict=True):
            found = job.result()
            share = Counter(got.outcome for _, got in found)
            cells = " | ".join(f"{share[o] / n:.2f}" if share[o] else "" for o in names)
            delays = [(t.generalisation - t.memorisation, g.delay) for t, g in found]
            ratios = [(t.generalisation / t.memorisation, g.ratio) for t, g in found]
            levels = [(t.level, g.plateau) for t, g in found]
            cover = " | ".join(covered(pairs) for pairs in (delays, ratios, levels))
            lines.append(f"| {name} | {schedule} | {cells} | {cover} |")
            print(lines[-1], f"({time.perf_counter() - started:.0f} s)", flush=True)
    if not options.quick:
        RESULT.write_text("\n".join(lines).rstrip() + "\n")


def networks(name: str, schedule: str, n: int) -> list[tuple[Truth, Grokking]]:
    found: list[tuple[Truth, Grokking]] = []
    steps = SCHEDULES[schedule]
    for r, rng in enumerate(seeds(f"grokking {name} {schedule}", n)):
        truth = TRUTHS[name](steps, rng)
        train, val = (observe(np.clip(mean, 0, 1), *NOISE, TRIALS, rng) for mean in (truth.train, truth.val))
        found.append((truth, grokking(steps, train, val, train_trials=TRIALS, val_trials=TRIALS, seed=r)))
    return found


def covered(pairs: list) -> str:
    known = [(truth, got) for truth, got in pairs if np.isfinite(truth) and not np.isnan(got.low)]
    if not known:
        return "–"
    return f"{np.mean([got.contains(truth) for truth, got in known]):.2f} of {len(known)}"


def curve(steps: Array, low: float, height: float, midpoint: float, width: float) -> Array:
    """A rise on the log axis, ``width`` as a share of the midpoint."""
    return logistic(np.log1p(steps), low, height, np.log1p(midpoint), width)


def grokked(ratio: float, low: float = CHANCE) -> Callable[[Array, np.random.Generator], Truth]:
    def make(steps: Array, rng: np.random.Generator) -> Truth:
        m = rng.uniform(400, 600) if ratio < 20 else rng.uniform(150, 220)
        g = m * ratio
        return Truth(
            train=curve(steps, CHANCE, 0.99 - CHANCE, m, 0.5),
            val=curve(steps, CHANCE, low - CHANCE, m, 0.5) + curve(steps, 0, 0.985 - low, g, 0.3),
            outcome="grokked" if ratio >= 2 else "learnt at once",
            memorisation=m,
            generalisation=g,
            level=low if ratio > 2 else np.nan,
        )

    return make


def at_once(steps: Array, rng: np.random.Generator) -> Truth:
    m = rng.uniform(5, 60)
    train = curve(steps, CHANCE, 0.985 - CHANCE, m, 0.4)
    return Truth(train=train, val=train, outcome="learnt at once")


def memorised(level: float) -> Callable[[Array, np.random.Generator], Truth]:
    def make(steps: Array, rng: np.random.Generator) -> Truth:
        m = rng.uniform(400, 600)
        return Truth(
            train=curve(steps, CHANCE, 0.99 - CHANCE, m, 0.5),
            val=curve(steps, CHANCE, level - CHANCE, m, 0.5),
            outcome="memorised only",
            level=level,
        )

    return make


def nothing(steps: Array, rng: np.random.Generator) -> Truth:
    train = curve(steps, CHANCE, 0.3, rng.uniform(2000, 4000), 1.5)
    return Truth(train=train, val=np.full(len(steps), CHANCE), outcome="learnt nothing")


def lost(steps: Array, rng: np.random.Generator) -> Truth:
    base = grokked(4)(steps, rng)
    fall = curve(steps, 0, -0.6, rng.uniform(9000, 14_000), 0.15)
    return Truth(
        train=base.train,
        val=base.val + fall,
        outcome="lost again",
        memorisation=base.memorisation,
        generalisation=base.generalisation,
        level=CHANCE,
    )


TRUTHS = {
    "grokked, ratio 3": grokked(3),
    "grokked, ratio 10": grokked(10),
    "grokked, ratio 60": grokked(60),
    "grokked from a shortcut at .6, ratio 10": grokked(10, low=0.6),
    "later by a ratio of 1.3": grokked(1.3),
    "learnt by step 5 to 60": at_once,
    "memorised, validation at chance": memorised(CHANCE),
    "memorised, validation at .6": memorised(0.6),
    "training up to .3, validation at chance": nothing,
    "grokked, then lost": lost,
}


if __name__ == "__main__":
    main()
