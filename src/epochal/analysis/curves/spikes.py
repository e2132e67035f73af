"""Excursions that return: single records out of line, and short stays at another level."""

import math

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.signal import lfilter

from epochal.analysis.curves.evidence import PHIS, log_likelihood, precision

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

HALF_WINDOW = 3
SCALE_HALF_WINDOW = 12
NUM_SCALES = 8.0
TO_SD = 1.4826
SMALLEST_SCALE = 1e-3  # of the range of the curve
MIN_RETURN_RECORDS = 3
LONGEST_STAY_FRACTION = 0.1
NUM_TIME_CONSTANTS = 3.0  # until a decay counts as over: 5% are left
DECAY_RATIO = 1.5  # of one speed of decay to the next


def without_spikes(values: Float[Array, " T"]) -> Float[Array, " T"]:
    """``values`` with records that leave the curve and return within three replaced by the local median.

    A record is a spike where it is further from the median of the seven records around it than eight times
    what its neighbourhood usually is (Hampel's filter). A monotone stretch is its own running median, so that
    no step and no rise is touched. The first and last three records are left alone: nothing tells a spike
    there from a change. The value under no effect is the curve itself.

    Source: Hampel 1974, J. Am. Stat. Assoc. 69, 383-393.
    """
    spikes, middle = single_spikes(values)
    return np.where(spikes, middle, values)


def single_spikes(values: Float[Array, " T"]) -> tuple[Bool[Mask, " T"], Float[Array, " T"]]:
    """Which records are spikes, and the local median at each record."""
    num_records = len(values)
    if num_records <= 2 * HALF_WINDOW + 1:
        return np.zeros(num_records, dtype=bool), values
    middle = values.copy()
    windows = np.lib.stride_tricks.sliding_window_view(values, 2 * HALF_WINDOW + 1)
    middle[HALF_WINDOW:-HALF_WINDOW] = np.median(windows, axis=1)
    distance = np.abs(values - middle)
    padded = np.pad(
        distance, SCALE_HALF_WINDOW, mode="reflect" if num_records > SCALE_HALF_WINDOW else "edge"
    )
    usual = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * SCALE_HALF_WINDOW + 1), axis=1)
    scale = TO_SD * np.maximum(usual, np.median(distance)) + SMALLEST_SCALE * np.ptp(values)
    return distance > NUM_SCALES * scale, middle


def short_stay(
    values: Float[Array, " T"], drift: Float[Array, " T"], logistic: Float[Array, " T"], floor: float
) -> tuple[int, int] | None:
    """First and last record of a short stay at another level that explains more than ``logistic`` does.

    max_phi,s l(constant + drift + s; phi) > max_phi l(constant + drift + logistic; phi),   s = 1 on the stay

    with l as for the evidence. A stay takes at most a tenth of the records (at least three) and has three
    records on either side of it. It ends at once, or its height decays by 95% until its last record:
    s = exp(-(t - first) / tau). None under no effect: a change that lasts needs two jumps as a stay.
    """
    num_records = len(values)
    best_stay, best_logistic, where = -np.inf, -np.inf, None
    for f, phi in enumerate(PHIS):
        nuisance = np.column_stack([np.ones(num_records), drift])
        filtered = precision(nuisance, phi)
        gram = nuisance.T @ filtered
        columns = np.column_stack([values, logistic])
        columns = columns - nuisance @ np.linalg.lstsq(gram, filtered.T @ columns, rcond=None)[0]
        innovations = precision(columns[:, :1], phi)[:, 0]
        total = float(columns[:, 0] @ innovations)
        square = float(columns[:, 1] @ precision(columns[:, 1:], phi)[:, 0])
        gain = float(columns[:, 1] @ innovations) ** 2 / max(square, 1e-12)
        stay_gain, first, last = max(best_stay_at(innovations, phi), best_decay_at(innovations, phi))
        best_logistic = max(best_logistic, float(likelihood(f, total - gain, num_records, floor)))
        value = float(likelihood(f, total - stay_gain, num_records, floor))
        if value > best_stay:
            best_stay, where = value, (first, last)
    return where if best_stay > best_logistic else None


def likelihood(f: int, rss: float, num_records: int, floor: float) -> Float[Array, ""]:
    return log_likelihood(f, np.array(rss), num_records=num_records, floor=floor)


def best_stay_at(innovations: Float[Array, " T"], phi: float) -> tuple[float, int, int]:
    """What the best stay explains, and its first and last record.

    ``innovations`` is the precision times a curve that is orthogonal to the nuisance columns. A stay is short
    and nearly orthogonal to them itself; neglecting that makes its gain too small, never too large.
    """
    num_records = len(innovations)
    sums = np.concatenate([[0.0], np.cumsum(innovations)])
    best = (0.0, 0, 0)
    longest = max(MIN_RETURN_RECORDS, int(LONGEST_STAY_FRACTION * num_records))
    for length in range(1, min(longest, num_records - 2 * MIN_RETURN_RECORDS) + 1):
        first = np.arange(MIN_RETURN_RECORDS, num_records - MIN_RETURN_RECORDS - length + 1)
        square = length * (1 + phi**2) - 2 * phi * (length - 1)
        gain = (sums[first + length] - sums[first]) ** 2 / square
        at = int(gain.argmax())
        if gain[at] > best[0]:
            best = (float(gain[at]), int(first[at]), int(first[at]) + length - 1)
    return best


def best_decay_at(innovations: Float[Array, " T"], phi: float) -> tuple[float, int, int]:
    """The same for stays that begin at once and decay, over a few speeds."""
    num_records = len(innovations)
    best = (0.0, 0, 0)
    longest = max(MIN_RETURN_RECORDS, int(LONGEST_STAY_FRACTION * num_records))
    length = MIN_RETURN_RECORDS
    while length <= min(longest, num_records - 2 * MIN_RETURN_RECORDS):
        keep = math.exp(-NUM_TIME_CONSTANTS / length)
        # sum over k of keep^k innovations[first + k], for every first record
        sums = lfilter([1.0], [1.0, -keep], innovations[::-1])[::-1]
        first = np.arange(MIN_RETURN_RECORDS, num_records - MIN_RETURN_RECORDS - length + 1)
        square = 1 + (keep - phi) ** 2 / (1 - keep**2)
        gain = sums[first] ** 2 / square
        at = int(gain.argmax())
        if gain[at] > best[0]:
            best = (float(gain[at]), int(first[at]), int(first[at]) + length - 1)
        length = max(length + 1, int(length * DECAY_RATIO))
    return best
