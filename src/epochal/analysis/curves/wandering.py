"""Changes without a moment: is there a drift, is there a period, beyond noise of the same autocorrelation?"""

import math

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from epochal.analysis.curves import noise
from epochal.analysis.curves.curve import Curve
from epochal.analysis.curves.detect import MIN_RECORDS, MOST_SEARCHED, SMALLEST_NOISE, blocks
from epochal.analysis.curves.drift import drifts
from epochal.analysis.curves.evidence import PHIS, log_likelihood, precision
from epochal.analysis.curves.spikes import HALF_WINDOW

Array = NDArray[np.float64]

LEAST_CYCLES = 3
REPLICATES_PER_LEVEL = 4


def drift_test(curve: Curve, min_height: float, level: float, generator: np.random.Generator) -> float:
    """The change of a drift over all records; 0 where noise would show as much, or below ``min_height``.

    The statistic is the log likelihood ratio of constant + drift against a constant, over the drifts of
    ``drift.py`` and a few autocorrelations; its law is simulated from noise fitted around a constant, the
    value under no effect being 0 with probability 1 - ``level``.
    """
    if len(curve) < MIN_RECORDS or np.ptp(curve.values) == 0:
        return 0.0
    steps, values = blocks(curve.steps, curve.values, MOST_SEARCHED)
    shapes = drifts(steps.tobytes())
    floor = (SMALLEST_NOISE * float(np.ptp(values))) ** 2
    one = np.ones((len(values), 1))
    ratio, best = drift_ratio(shapes, values[:, None], floor)
    coefficients = np.linalg.lstsq(np.column_stack([one, shapes[best[0]]]), values, rcond=None)[0]
    height = float(coefficients[1])
    if abs(height) < max(min_height, 1e-300):
        return 0.0
    curves = simulated(one, values, floor, level, generator)
    above = int((drift_ratio(shapes, curves, floor)[0] >= ratio[0]).sum())
    return height if (above + 1) / (curves.shape[1] + 1) <= level else 0.0


def drift_ratio(
    shapes: Float[Array, "D T"], curves: Float[Array, "T B"], floor: float
) -> tuple[Float[Array, " B"], NDArray[np.int64]]:
    """max_d,phi l(constant + d; phi) - max_phi l(constant; phi) per curve, and the drift d."""
    num_records = len(curves)
    ones = np.ones((num_records, 1))
    without, with_, which = [], [], []
    for f, phi in enumerate(PHIS):
        constant = precision(ones, phi)[:, 0]
        total = constant.sum()
        freed = curves - (constant @ curves) / total
        filtered = precision(freed, phi)
        rss = (freed * filtered).sum(axis=0)
        own = shapes - ((shapes @ constant) / total)[:, None]
        square = np.maximum((own * precision(own.T, phi).T).sum(axis=1), 1e-12)
        gain = (own @ filtered) ** 2 / square[:, None]
        best = gain.argmax(axis=0)
        without.append(log_likelihood(f, rss, num_records=num_records, floor=floor))
        with_.append(log_likelihood(f, rss - gain.max(axis=0), num_records=num_records, floor=floor))
        which.append(best)
    at = np.argmax(with_, axis=0)
    each = np.arange(curves.shape[1])
    return np.max(with_, axis=0) - np.max(without, axis=0), np.array(which)[at, each]


def periodic_test(curve: Curve, min_height: float, level: float, generator: np.random.Generator) -> float:
    """The period in steps; NaN where noise would show one as clear, or where it swings by too little.

    The statistic is the largest ordinate of the periodogram over that of the fitted noise, as a share of
    their sum, from three cycles over all records on (Fisher's g, on whitened ordinates). A constant and a
    line are taken out first. The records are read as evenly spaced; a period on another clock is less clear.
    NaN with probability 1 - ``level`` under no effect.

    Source: Fisher 1929, Proc. R. Soc. A 125, 54-59; its law is simulated, since the noise is fitted.
    """
    num_records = len(curve)
    if num_records < max(MIN_RECORDS, 4 * LEAST_CYCLES) or np.ptp(curve.values) == 0:
        return math.nan
    steps, values = blocks(curve.steps, curve.values, MOST_SEARCHED)
    floor = (SMALLEST_NOISE * float(np.ptp(values))) ** 2
    trend = np.column_stack([np.ones(len(values)), np.linspace(-1, 1, len(values))])
    curves = simulated(trend, values, floor, level, generator)
    projection = np.linalg.qr(trend)[0]
    both = np.column_stack([values, curves])
    both = both - projection @ (projection.T @ both)
    power = np.abs(np.fft.rfft(both, axis=0)[LEAST_CYCLES:]) ** 2
    power /= power[:, 1:].mean(axis=1, keepdims=True) + 1e-300
    share = power.max(axis=0) / power.sum(axis=0)
    above = int((share[1:] >= share[0]).sum())
    if (above + 1) / (curves.shape[1] + 1) > level:
        return math.nan
    cycles = LEAST_CYCLES + int(power[:, 0].argmax())
    amplitude = 2 * np.abs(np.fft.rfft(both[:, 0])[cycles]) / len(values)
    if 2 * amplitude < min_height:
        return math.nan
    return float((steps[-1] - steps[0]) * len(steps) / (len(steps) - 1) / cycles)


def spike_threshold(
    steps: Float[Array, " T"], mended: Float[Array, " T"], level: float, generator: np.random.Generator
) -> float:
    """How far from the local median noise goes at most with probability 1 - ``level``, over a whole curve.

    ``mended`` is the curve with its spikes replaced; its noise is fitted around its best drift. What is left
    of a transition counts as noise, so that spikes beside one must be higher.
    """
    if np.ptp(mended) == 0:
        return 0.0
    floor = (SMALLEST_NOISE * float(np.ptp(mended))) ** 2
    shapes = drifts(steps.tobytes())
    best = int(drift_ratio(shapes, mended[:, None], floor)[1][0])
    mean = np.column_stack([np.ones(len(mended)), shapes[best]])
    curves = simulated(mean, mended, floor, level, generator)
    windows = np.lib.stride_tricks.sliding_window_view(curves, 2 * HALF_WINDOW + 1, axis=0)
    off = np.abs(curves[HALF_WINDOW:-HALF_WINDOW] - np.median(windows, axis=-1)).max(axis=0)
    return float(np.quantile(off, 1 - level))


def simulated(
    mean: Float[Array, "T C"],
    values: Float[Array, " T"],
    floor: float,
    level: float,
    generator: np.random.Generator,
) -> Float[Array, "T B"]:
    """Curves of noise like that of ``values`` around ``mean @ b``: enough of them for ``level``."""
    models, filters = noise.stationary(len(values))
    fitted = noise.fit(models, mean, values, floor, filters=filters)
    count = math.ceil(REPLICATES_PER_LEVEL / level) - 1
    return noise.draw(models, fitted, max(count, 99), generator)
