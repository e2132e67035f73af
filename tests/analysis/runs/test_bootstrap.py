"""The bootstrap: scipy's numbers where allowed, refused where it fails."""

import numpy as np
import pytest
from scipy.stats import t as student

from epochal.analysis import bca_interval
from epochal.core.values.errors import UserError


def test_near_the_t_interval_for_a_mean_of_many() -> None:
    values = np.random.Generator(np.random.PCG64(0)).normal(10, 2, 200)
    low, high = bca_interval(values, lambda draws: draws.mean(axis=1))
    half = student.ppf(0.975, 199) * values.std(ddof=1) / np.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)
    assert bca_interval(values, lambda draws: draws.mean(axis=1)) == (low, high)  # the seed decides
    order = np.random.Generator(np.random.PCG64(1)).permutation(200)
    shifted = bca_interval(values[order] + 5, lambda draws: draws.mean(axis=1), seed=3)
    assert shifted == pytest.approx((low + 5, high + 5), abs=0.15 * half)


@pytest.mark.parametrize(
    ("values", "message"),
    [(np.arange(19), "19 runs are too few"), (np.zeros(30), "equal"), ([np.nan] * 30, "finite")],
)
def test_refused(values: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        bca_interval(values, lambda draws: draws.mean(axis=1))  # type: ignore[arg-type]
