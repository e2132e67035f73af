"""How much an average over chains changed between two potentials that were sampled with the same noise."""

import math

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from epochal.analysis.chains.chain_mixing import mean_error

Array = NDArray[np.float64]


def change(earlier: Float[Array, "K T"], now: Float[Array, "K T"]) -> tuple[float, float]:
    """Mean of ``now - earlier`` and its standard error, chain by chain and draw by draw.

    Under common random numbers the two vary together, so the differences vary less than either: their own
    autocorrelation and their differences between chains give the error. It is right without common numbers,
    too, only larger. Chains that diverged in either are left out; NaN where none is left, or where shapes
    differ.
    """
    if earlier.shape != now.shape:
        return math.nan, math.nan
    difference = np.asarray(now, dtype=np.float64) - np.asarray(earlier, dtype=np.float64)
    difference = difference[np.isfinite(difference).all(axis=-1)]
    if not difference.size:
        return math.nan, math.nan
    return float(difference.mean()), mean_error(difference)
