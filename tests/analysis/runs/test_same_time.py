"""Equivalence of lags: against the textbook, every sign flip by hand, and truth at the margin."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import wilcoxon
from statsmodels.stats.weightstats import ttost_paired

from epochal.analysis import same_time, same_time_power
from epochal.analysis.runs.centre import mean_by_flips, median_by_ranks, median_by_signs
from epochal.analysis.runs.skewness import is_skewed
from epochal.core.values.errors import UserError

NAN = math.nan


def generator(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def lagged(seed: int, num_runs: int = 8, lag: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    g = generator(seed)
    a = g.normal(2000, 300, num_runs)
    return a, a + lag + g.normal(0, 50, num_runs)


@pytest.mark.parametrize("num_runs", [3, 8, 30])
def test_t_is_that_of_statsmodels(num_runs: int) -> None:
    a, b = lagged(num_runs, num_runs)
    found = same_time(a, b, margin=60)
    p, _, _ = ttost_paired(b, a, -60, 60)
    assert found.p == pytest.approx(p)
    lags = b - a
    half = student.isf(0.05, num_runs - 1) * lags.std(ddof=1) / math.sqrt(num_runs)
    assert (found.low, found.high) == pytest.approx((lags.mean() - half, lags.mean() + half))


@pytest.mark.parametrize("value", [-30.0, 0.0, 12.0, 90.0])
def test_sign_flips_by_hand(value: float) -> None:
    lags = np.array([3.0, -10, 25, 40, 12, 12])
    centre = mean_by_flips(lags)
    sums = [float(np.dot(signs, lags - value)) for signs in product((1, -1), repeat=6)]
    seen = float(np.sum(lags - value))
    assert centre.p_below(value) == np.mean([s <= seen + 1e-9 for s in sums])
    assert centre.p_above(value) == np.mean([s >= seen - 1e-9 for s in sums])


@pytest.mark.parametrize("value", [-30.0, 1.0, 11.0, 90.0])
def test_signed_ranks_are_those_of_scipy(value: float) -> None:
    lags = np.array([3.0, -10, 25, 41, 12, 17, 60])
    centre = median_by_ranks(lags)
    below = wilcoxon(lags - value, alternative="less", method="exact").pvalue
    above = wilcoxon(lags - value, alternative="greater", method="exact").pvalue
    assert (centre.p_below(value), centre.p_above(value)) == pytest.approx((below, above))
    far = median_by_ranks(np.where(lags == 60, np.inf, lags))  # the largest rank, however large
    assert (far.p_below(11.0), far.p_above(11.0)) == (centre.p_below(11.0), centre.p_above(11.0))


def test_signs_by_the_binomial() -> None:
    centre = median_by_signs(np.array([1.0, 2, 3, math.inf, -4]))
    assert centre.p_above(0.0) == pytest.approx(6 / 32)  # one of five or fewer
    assert centre.p_above(-10.0) == pytest.approx(1 / 32)
    assert centre.interval(0.025) == (-math.inf, math.inf)
    assert centre.interval(0.04) == (-4, math.inf)


@pytest.mark.parametrize("test", ["t", "sign-flip"])
def test_support_is_an_interval_inside_the_margin(test: str) -> None:
    verdicts = set()
    for seed in range(60):
        a, b = lagged(seed, 6, lag=10.0 * (seed % 15))
        found = same_time(a, b, margin=60, test=test, power=None)  # type: ignore[arg-type]
        assert found.low is not None and found.high is not None and found.p is not None
        inside = found.low > -60 and found.high < 60
        assert (found.verdict == "supported") == (found.p <= 0.05) == inside
        assert (found.verdict == "refuted") == (found.low > 60 or found.high < -60)
        verdicts.add(found.verdict)
    assert verdicts == {"supported", "refuted", "undecided"}


@pytest.mark.parametrize("test", ["t", "sign-flip"])
def test_what_must_not_matter(test: str) -> None:
    a, b = lagged(3)
    found = same_time(a, b, margin=60, test=test)  # type: ignore[arg-type]
    order = generator(1).permutation(len(a))
    for other in (
        same_time(a[order], b[order], margin=60, test=test),  # type: ignore[arg-type]
        same_time(a + 500, b + 500, margin=60, test=test),  # type: ignore[arg-type]
        same_time(b, a, margin=60, test=test),  # type: ignore[arg-type]
        same_time(7 * a, 7 * b, margin=420, test=test),  # type: ignore[arg-type]
    ):
        assert other.p == pytest.approx(found.p)
        assert other.verdict == found.verdict


def test_equal_lags_are_as_sure_as_the_record_schedule() -> None:
    steps = np.arange(6) * 100.0
    with pytest.raises(UserError, match="record_interval"):
        same_time(steps, steps, margin=50)
    found = same_time(steps, steps, margin=50, record_interval=25)
    assert found.low is not None and found.high is not None
    assert found.low <= -25 and found.high >= 25
    assert found.verdict == "supported"
    # The same, told as intervals; a lag of two records each way is possible, so 25 is no margin.
    ends = np.stack([steps, steps + 25], axis=1)
    assert same_time(ends, ends, margin=50) == found
    narrow = same_time(ends, ends, margin=25)
    assert narrow.verdict == "undecided"
    assert "below two record intervals" in narrow.sentence
    assert "below two" not in found.sentence
    # Where lags spread by more than the schedule, rounding averages out.
    a, b = lagged(3)
    assert same_time(a, b, margin=60, record_interval=5).low == same_time(a, b, margin=60).low


@pytest.mark.parametrize("record", [25.0, 100.0])
def test_a_lag_at_the_margin_read_off_a_schedule_is_not_claimed(record: float) -> None:
    claims = 0
    for r in range(300):
        a = generator(8, r).uniform(0, 10_000, 8)
        times = [np.floor(t / record) * record for t in (a, a + 200)]
        ends = [np.stack([t, t + record], axis=1) for t in times]
        claims += same_time(ends[0], ends[1], margin=200, power=None).verdict == "supported"
    assert claims / 300 < 0.05 + 0.038


def test_censored_runs_are_outside_the_margin_and_never_dropped() -> None:
    g = generator(9)
    a = g.normal(2000, 300, 10)
    b = a + g.normal(0, 5, 10)
    sure = same_time(a, b, margin=50)
    assert sure.verdict == "supported"
    one, three = b.copy(), b.copy()
    one[0] = NAN
    three[:3] = NAN
    first, third = same_time(a, one, margin=50), same_time(a, three, margin=50)
    assert first.num_runs == third.num_runs == 10
    assert sure.p < first.p < third.p  # type: ignore[operator]
    assert third.verdict == "undecided"
    assert third.high == math.inf
    # By Wilcoxon: the signed rank of three of ten at the top is 27 against, P(W <= 27) for S = 10.
    ranks = wilcoxon(np.where(np.isnan(three), 1e6, three - a) - 50, alternative="less", method="exact")
    assert third.p == pytest.approx(ranks.pvalue)
    assert same_time(three, a, margin=50).p == third.p  # B without A counts as much
    most = np.where(np.arange(10) < 9, NAN, b)
    assert same_time(a, most, margin=50).verdict == "refuted"
    both = same_time(np.append(a, NAN), np.append(b, NAN), margin=50)
    assert (both.num_runs, both.p) == (10, sure.p)
    assert "neither happened in 1" in both.sentence


@pytest.mark.parametrize("law", ["normal", "t3"])
def test_size_at_the_margin(law: str) -> None:
    claims = {"t": 0, "sign-flip": 0}
    for r in range(500):
        g = generator(10, r)
        lags = 100 + 10 * (g.standard_normal(6) if law == "normal" else g.standard_t(3, 6))
        for test in claims:
            found = same_time(np.zeros(6), lags, margin=100, test=test, power=None)  # type: ignore[arg-type]
            claims[test] += found.verdict == "supported"
    for count in claims.values():  # 500 at .05: standard error .0097, three of which are allowed
        assert 0.005 < count / 500 < 0.05 + 0.029


def test_signs_hold_for_skewed_lags_and_the_others_do_not() -> None:
    claims = {"t": 0, "sign": 0}
    for r in range(400):
        lags = 200 - 20 * (generator(12, r).exponential(1, 11) - math.log(2))  # median at the margin
        for test in claims:
            found = same_time(np.zeros(11), lags, margin=200, test=test, power=None)  # type: ignore[arg-type]
            claims[test] += found.verdict == "supported"
    assert claims["t"] / 400 > 0.08
    assert 0 < claims["sign"] / 400 < 0.033 + 3 * 0.009  # 2 of 11 at most outside: 67 of 2,048


def test_signs_by_the_binomial_and_with_censored_runs() -> None:
    a = np.zeros(8)
    b = np.array([10.0, 20, -15, 5, 12, 30, 1, NAN])
    found = same_time(a, b, margin=50, test="sign")
    assert found.p == pytest.approx(9 / 256)  # one of eight outside
    assert found.verdict == "supported"
    assert (found.low, found.high) == (1.0, 30.0)  # the second from either end
    assert same_time(a, b, margin=25, test="sign").p == pytest.approx(37 / 256)
    both = same_time(a, np.where(b == 30, 90, b), margin=50, test="sign")
    assert both.verdict == "undecided" and both.runs_needed is not None and both.runs_needed > 8


def test_skew_is_warned_of() -> None:
    straight = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])
    assert "skewed" not in same_time(np.zeros(8), straight, margin=20).sentence
    bent = np.array([1.0, 1.1, 0.9, 1.2, 0.8, 1, 1.3, 40])
    found = same_time(np.zeros(8), bent, margin=50)
    assert "the lags are skewed" in found.sentence
    p = same_time(np.zeros(8), bent, margin=50, test="sign").p
    assert f"p = {p:.2g}" in found.note


@pytest.mark.parametrize("num_runs", [5, 12, 300])
def test_normal_lags_are_rarely_called_skewed(num_runs: int) -> None:
    seen = np.mean([is_skewed(generator(13, r).normal(size=num_runs)) for r in range(400)])
    assert 0.05 - 0.033 < seen < 0.05 + 0.033


def test_power_by_simulation_and_runs_needed() -> None:
    g = generator(11)
    lags = g.normal(10, 40, size=(2000, 9))
    half = student.isf(0.05, 8) * lags.std(axis=1, ddof=1) / 3
    share = np.mean(np.abs(lags.mean(axis=1)) + half <= 50)
    assert same_time_power(10, 40, 9, margin=50) == pytest.approx(share, abs=0.05)  # 3 x .016
    a, b = lagged(3, 6)
    near, far = same_time(a, b, margin=70).runs_needed, same_time(a, b, margin=140).runs_needed
    assert near is not None and far is not None and near > far
    assert same_time(a, b + 300, margin=70).runs_needed is None


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ([1, 2, 3], [1, 2, 4], {"margin": -1}, "margin=-1"),
        ([1, 2, 3], [1, 2, 4], {"margin": NAN}, "margin=nan"),
        ([1, 2, 3], [1, 2], {"margin": 1}, "same position"),
        ([1, 2], [1, 2], {"margin": 1}, "too few"),
        ([1, 2, NAN, NAN], [1, 2, NAN, NAN], {"margin": 1}, "only 2 runs"),
        ([1, 2, NAN, NAN], [NAN, NAN, 1, 2], {"margin": 1}, "no run of 4 has both"),
        ([1, 2, 3], [1, 2, 4], {"margin": 1, "record_interval": -1}, "record_interval"),
        ([1, 2, 3], [1, 2, 4], {"margin": 1, "test": "bootstrap"}, "test="),
        (np.arange(25), np.arange(25) ** 2, {"margin": 1, "test": "sign-flip"}, "too many sign flips"),
    ],
)
def test_bad_input_is_one_line(a: object, b: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        same_time(a, b, **options)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
