"""The height of a stretch of a curve on which nothing changes."""

import math

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.stats import t as student

from epochal.analysis.curves import noise
from epochal.core.values.learning import NO_ESTIMATE, Estimate

Array = NDArray[np.float64]

LEAST_RECORDS = 3
PRIOR_POWER = 0.5  # as for the noise of a transition


def plateau(values: Float[Array, " T"], trials: float | None = None, confidence: float = 0.95) -> Estimate:
    """The level that the records wander about, with an interval that knows they wander together.

    level = sum_k w_k m_k,  variance = sum_k w_k (s_k^2 + (m_k - level)^2)  (+ p (1 - p) / trials)

    over the noise models k with their weights w, m_k and s_k being mean and error by generalised least
    squares; the quantile is Student's with T - 1 degrees of freedom. With ``trials`` the interval is for the
    accuracy on any sample of that many, not on the one at hand. No estimate below three records.
    """
    num_records = len(values)
    if num_records < LEAST_RECORDS:
        return NO_ESTIMATE
    one = np.ones((num_records, 1))
    floor = 1e-12 * max(float(np.abs(values).max()), 1e-6) ** 2
    models, filters = noise.stationary(num_records)
    fitted = noise.fit(models, one, values, floor, prior_power=PRIOR_POWER, filters=filters)
    white = filters(np.column_stack([one[:, 0], values]))
    information = (white[:, :, 0] ** 2).sum(axis=1)
    means = (white[:, :, 0] * white[:, :, 1]).sum(axis=1) / information
    level = float(fitted.weight @ means)
    variance = float(fitted.weight @ (fitted.variance / information + (means - level) ** 2))
    if trials is not None:
        p = min(max(level, 0.0), 1.0)
        variance += p * (1 - p) / trials
    reach = float(student.ppf(0.5 + confidence / 2, num_records - 1)) * math.sqrt(variance)
    return Estimate(value=level, low=level - reach, high=level + reach)
