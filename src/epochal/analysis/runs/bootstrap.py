"""An interval from resampled runs, where there are enough of them."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.stats import bootstrap as resample

from epochal.core.values.errors import UserError

# One-sided size of the nominal 5% interval: .11 at 5 runs, .08 at 10, .07 at 20 (t3 lags: .11, .10, .09).
MIN_RUNS = 20


def bca_interval(
    values: ArrayLike,
    statistic: Callable[[Float[np.ndarray, "K S"]], Float[np.ndarray, "K"]],
    *,
    level: float = 0.95,
    num_draws: int = 4_999,
    seed: int = 0,
) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap interval of a statistic of independent runs; 20 or more.

    ``values`` ``[S]``, one per run; ``statistic`` maps ``[K, S]`` resamples to ``[K]``. Below 20 runs it is
    refused: resamples of 5 runs are too alike, and the interval is too short
    (bench/results/calibration-same-time.md).

    Raises:
        UserError: for fewer than 20 runs, values that are not finite or all equal.

    Source: Efron 1987, JASA 82, 171-185 (scipy.stats.bootstrap).
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise UserError(f"values has shape {list(array.shape)}: give one finite number per run, [S]")
    if len(array) < MIN_RUNS:
        raise UserError(
            f"{len(array)} runs are too few for a BCa bootstrap, at least {MIN_RUNS}: its intervals are too "
            "short below; use a t or sign-flip interval (same_time, compare_arms)"
        )
    if np.ptp(array) == 0:
        raise UserError("all values are equal: resampling them says nothing about their spread")
    if not 0 < level < 1:
        raise UserError(f"level={level} is outside (0, 1): 0.95 is the usual interval")
    answer = resample(
        (array,),
        lambda draws, axis=-1: (
            statistic(np.moveaxis(np.atleast_2d(draws), axis, -1))
            if np.ndim(draws) > 1
            else statistic(np.atleast_2d(draws))[0]
        ),
        n_resamples=num_draws,
        confidence_level=level,
        method="BCa",
        rng=np.random.Generator(np.random.PCG64(seed)),
    ).confidence_interval
    return float(answer.low), float(answer.high)
