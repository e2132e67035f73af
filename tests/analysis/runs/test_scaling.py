"""Scaling exponents: least squares where nothing is censored, brute force where something is."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.stats import norm

from epochal.analysis import scaling_exponent
from epochal.analysis.runs.scaling import loglik
from epochal.core.values.errors import UserError

NAN = math.nan


def data(seed: int, per: int = 3, exponent: float = 0.75) -> tuple[np.ndarray, np.ndarray]:
    g = np.random.Generator(np.random.PCG64(seed))
    x = np.repeat([1.0, 2, 4, 8], per)
    return x, 100 * x**exponent * np.exp(g.normal(0, 0.3, len(x)))


def test_without_censoring_it_is_least_squares_with_its_t_interval() -> None:
    x, t = data(0)
    found = scaling_exponent(x, t)
    known = sm.OLS(np.log(t), sm.add_constant(np.log(x))).fit()
    low, high = known.conf_int()[1]
    assert found.exponent == pytest.approx(known.params[1], abs=1e-6)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-5)
    assert found.intercept == pytest.approx(known.params[0], abs=1e-6)
    narrow = scaling_exponent(x, np.stack([t * (1 - 1e-5), t * (1 + 1e-5)], axis=1))
    assert (narrow.low, narrow.high) == pytest.approx((low, high), abs=1e-3)


def test_censored_likelihood_by_brute_force() -> None:
    x, t = data(1)
    seen = np.where(t > 300, NAN, t)
    before = np.floor(seen / 40) * 40
    ends = np.stack([before, before + 40], axis=1)

    def cost(free: np.ndarray) -> float:
        mean = free[0] + free[1] * np.log(x)
        total = 0.0
        for row, m in zip(ends, mean, strict=True):
            if np.isnan(row[0]):
                total += norm.logsf(math.log(300), m, math.exp(free[2]))
            else:
                low = norm.cdf(math.log(row[0]), m, math.exp(free[2])) if row[0] else 0.0
                total += math.log(norm.cdf(math.log(row[1]), m, math.exp(free[2])) - low)
        return -total

    best = minimize(cost, [4.6, 0.7, -1.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10})
    found = scaling_exponent(x, ends, followed=300)
    assert (found.intercept, found.exponent, math.log(found.log_sd)) == pytest.approx(tuple(best.x), abs=1e-4)
    # At either end the profile has fallen by what the docstring says.
    allowed = found.num_events * math.log1p(t_squared(found.num_events) / (found.num_events - 2)) / 2
    for end in (found.low, found.high):
        rest = minimize(
            lambda free, k=end: cost(np.array([free[0], k, free[1]])), [4.6, -1.0], method="Nelder-Mead"
        )
        assert rest.fun - best.fun == pytest.approx(allowed, abs=1e-3)


def test_far_tails_keep_their_likelihood() -> None:
    # 40 standard deviations out a difference of distribution functions is 0; its logarithm is not.
    mean = np.zeros(2)
    above, _, _ = loglik(mean, 0.0, np.array([40.0, 1.0]), np.array([41.0, 2.0]))
    below, _, _ = loglik(mean, 0.0, np.array([-41.0, 1.0]), np.array([-40.0, 2.0]))
    assert above == pytest.approx(below)
    assert above == pytest.approx(norm.logsf(40) + math.log(norm.cdf(2) - norm.cdf(1)))


def t_squared(num_events: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, num_events - 2)) ** 2


def test_units_do_not_matter() -> None:
    x, t = data(2)
    seen = np.where(t > 400, NAN, t)
    found = scaling_exponent(x, seen, followed=400)
    other = scaling_exponent(1000 * x, seen / 7, followed=400 / 7)
    assert (other.exponent, other.low, other.high) == pytest.approx(
        (found.exponent, found.low, found.high), abs=1e-5
    )


def test_censored_exponents_are_covered_and_least_squares_is_not() -> None:
    inside, ours, naive = 0, [], []
    for r in range(40):
        x, t = data(100 + r, per=4)
        seen = np.where(t > 400, NAN, t)
        found = scaling_exponent(x, seen, followed=400)
        have = np.isfinite(seen)
        inside += found.low <= 0.75 <= found.high
        ours.append(found.exponent)
        naive.append(np.polyfit(np.log(x[have]), np.log(seen[have]), 1)[0])
    assert inside / 40 > 0.95 - 3 * 0.034
    error = np.std(ours) / math.sqrt(40)
    assert abs(np.mean(ours) - 0.75) < 4 * error
    assert np.mean(naive) < 0.75 - 4 * error


def test_a_full_sweep_of_shared_seeds_has_the_t_interval_of_their_slopes() -> None:
    g = np.random.Generator(np.random.PCG64(5))
    x, seeds = np.tile([1.0, 2, 4, 8], 6), np.repeat(list("abcdef"), 4)
    t = 100 * x**0.75 * np.exp(np.repeat(g.normal(0, 0.5, 6), 4) + g.normal(0, 0.2, 24))
    slopes = [np.polyfit(np.log(x[seeds == s]), np.log(t[seeds == s]), 1)[0] for s in "abcdef"]
    half = math.sqrt(t_squared(7)) * np.std(slopes, ddof=1) / math.sqrt(6)
    found = scaling_exponent(x, t, seeds=seeds)
    assert found.num_seeds == 6
    assert (found.low, found.high) == pytest.approx(
        (np.mean(slopes) - half, np.mean(slopes) + half), abs=1e-4
    )
    order = g.permutation(24)
    other = scaling_exponent(x[order], t[order], seeds=seeds[order])
    assert (other.low, other.high) == pytest.approx((found.low, found.high), abs=1e-4)


def test_seeds_that_tilt_are_covered_only_if_they_are_named() -> None:
    blocked = pooled = 0
    for r in range(60):
        g = np.random.Generator(np.random.PCG64([6, r]))
        x, seeds = np.tile([1.0, 2, 4, 8], 5), np.repeat(np.arange(5), 4)
        slopes = (0.75 + g.normal(0, 0.3, 5))[seeds]
        t = 100 * x**slopes * np.exp(g.normal(0, 0.1, 20))
        ours, theirs = scaling_exponent(x, t, seeds=seeds), scaling_exponent(x, t)
        blocked += ours.low <= 0.75 <= ours.high
        pooled += theirs.low <= 0.75 <= theirs.high
    assert blocked / 60 > 0.95 - 3 * 0.028
    assert pooled / 60 < 0.8


@pytest.mark.parametrize(
    ("x", "times", "options", "message"),
    [
        ([1, 2, 3], [1, 2, 3], {}, "3 events"),
        ([1, 1, 1, 1], [1, 2, 3, 4], {}, "one value of x"),
        ([1, 2, 3, 0], [1, 2, 3, 4], {}, "above 0"),
        ([1, 2, 3, 4], [1, 2, 3, -4], {}, "above 0"),
        ([1, 2, 3, 4], [1, 2, 3], {}, "shape"),
        ([1, 2, 3, 4, 5], [1, 2.5, 3, 4, NAN], {}, "followed"),
        ([1, 2, 3, 4, 5], [1, 2.5, 3, 4, NAN], {"followed": -3}, "followed"),
        ([1, 2, 3, 4], [2, 4, 6, 8], {}, "exactly"),
        ([1, 2, 3, 4], [2, 5, 6, 8], {"level": 1}, "level=1"),
        ([1, 2, 3, 4], [2, 5, 6, 8], {"seeds": [1, 2]}, "seeds has shape"),
        ([1, 2, 3, 4], [2, 5, 6, 8], {"seeds": [1, 1, 2, 2]}, "2 seeds are too few"),
        ([1, 1, 1, 4], [2, 5, 6, 8], {"seeds": [1, 2, 3, 4]}, "without one of the seeds"),
    ],
)
def test_bad_input_is_one_line(x: object, times: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        scaling_exponent(x, times, **options)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
