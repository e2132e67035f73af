"""What the calibrations of several runs share: event times of known truth, rates, and the page of results."""

import argparse
import platform
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import scipy
import statsmodels

from epochal.analysis import coupling
from epochal.analysis.runs.pairings import pairings

DRAWS = 999
BETWEEN, WITHIN = 300.0, 40.0
Array = np.ndarray
Generator = np.random.Generator


def write(
    name: str, title: str, description: str | None, sections: Sequence[Callable[[int], list[str]]]
) -> None:
    """Reads the options, makes each section with that many replicates, writes bench/results/NAME.md."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicates", type=int, default=2000, help="simulated data sets per cell")
    parser.add_argument("--quick", action="store_true", help="60 replicates, a look and no result")
    options = parser.parse_args()
    replicates = 60 if options.quick else options.replicates
    started = time.perf_counter()
    error, wide = (np.sqrt(share * (1 - share) / replicates) for share in (0.05, 0.9))
    lines = [
        f"# Calibration: {title}",
        "",
        f"{replicates} simulated data sets per cell unless a table says otherwise: a rate of .05 has a",
        f"standard error of {error:.3f}, one of .9 of {wide:.3f} (half as many: 1.4 times that). Nominal",
        f"level .05, {DRAWS} random pairings. Written by",
        f"`bench/calibration/{name.replace('-', '_')}.py` with NumPy {np.__version__},",
        f"SciPy {scipy.__version__}, statsmodels {statsmodels.__version__}, {platform.machine()}.",
        "",
    ]
    for section in sections:
        made = section(replicates)
        lines += [*made, ""]
        print("\n".join(made), f"\n({time.perf_counter() - started:.0f} s)\n", flush=True)
    if not options.quick:
        result = Path(__file__).resolve().parents[1] / "results" / f"calibration-{name}.md"
        result.parent.mkdir(exist_ok=True)
        result.write_text("\n".join(lines).rstrip() + "\n")


def rate(name: str, replicates: int, decide: Callable[[Generator], bool]) -> float:
    seeds = range(replicates)
    return float(
        np.mean([decide(np.random.Generator(np.random.PCG64([zlib.crc32(name.encode()), r]))) for r in seeds])
    )


def coupled(
    g: Generator, runs: int, lag: float = 0.0, within: float = WITHIN, slope: float = 1.0, heavy: bool = False
) -> tuple[Array, Array]:
    """A latent time per run, A and B about it."""
    latent = g.normal(0, BETWEEN, runs)
    noise = g.standard_t(2, (2, runs)) if heavy else g.standard_normal((2, runs))
    return 2000 + latent + within * noise[0], 2000 + lag + slope * latent + within * noise[1]


def pairing_p(a: Array, b: Array, statistic: Callable[[Array], Array], g: Generator) -> float:
    """p of a statistic of lags that is small under coupling; the first row is the pairing as it is."""
    drawn = pairings(np.zeros(len(a), dtype=np.int64), g, DRAWS)
    null = statistic(b[drawn.order] - a)
    observed = statistic((b - a)[None])[0]
    return drawn.p(int(np.sum(null <= observed * (1 + 1e-12))))


def mean_absolute(lags: Array) -> Array:
    return np.abs(lags).mean(axis=1)


def about_median(lags: Array) -> Array:
    return np.abs(lags - np.median(lags, axis=1, keepdims=True)).mean(axis=1)


def tau_p(a: Array, b: Array, **options: object) -> float:
    """p of ``coupling``, each data set with random pairings of its own; 1 where nothing can be compared."""
    if not (np.isfinite(a).any() and np.isfinite(b).any()):
        return 1.0
    seed = zlib.crc32(a.tobytes())
    found = coupling(a, b, power=None, num_draws=DRAWS, seed=seed, **options)  # type: ignore[arg-type]
    assert found.p is not None
    return found.p
