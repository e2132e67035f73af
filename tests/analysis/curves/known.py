"""Curves of known truth for the tests of transitions."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

Array = NDArray[np.float64]

LOGIT_SPAN = 2 * np.log(9)  # from 10% to 90% of a logistic, in scales


def generator(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def wander(num_records: int, phi: float, rng: np.random.Generator) -> Array:
    """AR(1) of variance 1."""
    noise = rng.standard_normal(num_records)
    for t in range(1, num_records):
        noise[t] = phi * noise[t - 1] + np.sqrt(1 - phi**2) * noise[t]
    return noise


def logistic(x: ArrayLike, low: float, high: float, midpoint: float, width: float) -> Array:
    return np.asarray(low + (high - low) * expit(LOGIT_SPAN * (np.asarray(x) - midpoint) / width))
