"""Survival curves: by hand, by what they become without censoring, and their coverage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import CensoredData, binomtest, ecdf
from scipy.stats import t as student

from epochal.analysis import aalen_johansen, kaplan_meier, restricted_mean
from epochal.analysis.runs.beta_product import share_interval
from epochal.analysis.runs.survival import mean_bounds
from epochal.core.values.errors import UserError

NAN = math.nan


def test_kaplan_meier_by_hand() -> None:
    curve = kaplan_meier([10, 20, NAN, 30, NAN], followed=[90, 90, 25, 90, 40])
    assert list(curve.step[:3]) == [0, 10, 20]
    assert [curve.at(s) for s in (0, 9, 10, 25, 30, 80)] == pytest.approx([1, 1, 0.8, 0.6, 0.3, 0.3])
    assert curve.median_step == 30
    assert math.isnan(kaplan_meier([10, NAN, NAN], followed=50).median_step)
    # A run that is observed no further changes no value, only what is known of it.
    assert list(curve.step) == [0, 10, 20, 25, 30]
    assert curve.low[3] < curve.low[2] and curve.high[3] == curve.high[2]


def test_kaplan_meier_is_that_of_scipy() -> None:
    g = np.random.Generator(np.random.PCG64(0))
    t = np.round(g.exponential(100, 30))
    until = np.round(g.uniform(60, 200, 30))
    seen = np.where(t <= until, t, NAN)
    known = ecdf(CensoredData(uncensored=t[t <= until], right=until[t > until])).sf
    curve = kaplan_meier(seen, followed=until)
    for step in (20, 55, 90, 140):
        assert curve.at(step) == pytest.approx(float(known.evaluate(step)))


def test_intervals_are_binomial_without_censoring() -> None:
    times = np.array([10.0, 20, 20, 40, 70, NAN])
    lost = np.array([NAN, NAN, NAN, NAN, 55.0, NAN])  # diverges before it would happen
    curve = kaplan_meier(times, followed=100, level=0.9)
    shares = aalen_johansen(np.where(np.isnan(lost), times, NAN), diverged=lost, followed=100, level=0.9)
    for step in (0.0, 15.0, 20.0, 60.0, 99.0):
        k = int(np.searchsorted(curve.step, step, side="right")) - 1
        known = binomtest(int(np.sum(~(times <= step))), 6).proportion_ci(0.9, "exact")
        assert (curve.low[k], curve.high[k]) == pytest.approx((known.low, known.high))
        k = int(np.searchsorted(shares.step, step, side="right")) - 1
        had = int(np.sum((times <= step) & np.isnan(lost)))
        known = binomtest(had, 6).proportion_ci(0.9, "exact")
        assert (shares.low[k], shares.high[k]) == pytest.approx((known.low, known.high))


def test_moments_are_those_of_random_gaps() -> None:
    at_risk, events, ended, left = (np.array(c) for c in ([9, 6, 4], [2, 0, 1], [2, 1, 2], [7, 4, 1]))
    low, high = share_interval(at_risk, events, ended, left, 0.9)
    g = np.random.Generator(np.random.PCG64(3))
    share, rest = np.zeros(200_000), np.ones(200_000)
    for n, d, c, after in zip(at_risk, events, ended, left, strict=True):
        cut = g.dirichlet([max(d, 1e-9), max(c - d, 1e-9), n - c + 1], 200_000)
        share, rest = share + rest * cut[:, 0], rest * cut[:, 2]
        top = share + rest * g.beta(1, after, 200_000)
    assert low[-1] == pytest.approx(np.quantile(share, 0.05), abs=0.004)
    assert high[-1] == pytest.approx(np.quantile(top, 0.95), abs=0.004)


@pytest.mark.parametrize("num_runs", [5, 20])
def test_shares_are_covered_with_half_of_the_runs_censored(num_runs: int) -> None:
    inside = np.zeros((2, 3))
    for r in range(200):
        g = np.random.Generator(np.random.PCG64([num_runs, r]))
        event, lost, until = (g.exponential(mean, num_runs) + 1e-9 for mean in (1000, 2000, 1000))
        alive = kaplan_meier(np.where(event <= until, event, NAN), followed=until)
        first = event <= np.minimum(until, lost)
        gone = np.where(lost <= np.minimum(until, event), lost, NAN)
        had = aalen_johansen(np.where(first, event, NAN), diverged=gone, followed=until)
        for k, step in enumerate((100, 500, 1000)):
            truths = math.exp(-step / 1000), (1 - math.exp(-1.5 * step / 1000)) / 1.5
            for row, (curve, truth) in enumerate(zip((alive, had), truths, strict=True)):
                at = int(np.searchsorted(curve.step, step, side="right")) - 1
                inside[row, k] += curve.low[at] <= truth <= curve.high[at]
    assert (inside / 200 > 0.95 - 0.046).all()  # three standard errors


def test_without_censoring_shares_are_plain() -> None:
    times = np.array([10.0, 20, 20, 40, 70, 70, 70, 90])
    curve = kaplan_meier(times, followed=100)
    for step in (0, 10, 25, 70, 95):
        assert curve.at(step) == pytest.approx(np.mean(times > step))
    assert (np.diff(curve.value) <= 0).all()
    assert curve.value[-1] == 0 and curve.low[-1] == 0 and 0 < curve.high[-1] < curve.high[-2]
    assert ((curve.low <= curve.value) & (curve.value <= curve.high)).all()


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from(["event", "diverged", "both"])), min_size=2, max_size=12
    )
)
def test_shares_of_both_causes_are_plain_without_censoring(runs: list[tuple[int, str]]) -> None:
    times = np.array([float(t) if why != "diverged" else NAN for t, why in runs])
    lost = np.array([float(t) if why == "diverged" else t + 1.0 if why == "both" else NAN for t, why in runs])
    ours = aalen_johansen(times, diverged=lost, followed=20)
    for step in range(1, 12):
        share = np.mean([t <= step and why != "diverged" for t, why in runs])
        assert ours.at(step) == pytest.approx(share)
        k = int(np.searchsorted(ours.step, step, side="right")) - 1
        known = binomtest(round(share * len(runs)), len(runs)).proportion_ci(0.95, "exact")
        assert (ours.low[k], ours.high[k]) == pytest.approx((known.low, known.high))


def test_a_divergence_is_no_censoring() -> None:
    times, lost = [10, NAN, NAN, 30], [NAN, 5, 20, NAN]
    ours = aalen_johansen(times, diverged=lost, followed=50)
    assert ours.at(50) == pytest.approx(0.5)  # two of four
    naive = 1 - kaplan_meier(times, followed=[50, 5, 20, 50]).at(50)
    assert naive == pytest.approx(1.0)  # as if nothing diverged
    # The causes and the event-free share make up the whole, with censoring too.
    until = [50, 50, 15, 50]
    cut = [10, NAN, NAN, 30]
    gone = [NAN, 5, NAN, NAN]
    event = aalen_johansen(cut, diverged=gone, followed=until).at(50)
    other = aalen_johansen(gone, diverged=cut, followed=until).at(50)
    free = kaplan_meier(np.fmin(cut, gone), followed=until).at(50)
    assert event + other + free == pytest.approx(1)


def test_restricted_mean_is_a_mean_and_its_t_interval_without_censoring() -> None:
    times = np.array([10.0, 25, 30, 60, 80])
    found = restricted_mean(times, followed=100, horizon=100)
    half = student.ppf(0.975, 4) * times.std(ddof=1) / math.sqrt(5)
    assert found.mean == pytest.approx(times.mean())
    assert (found.low, found.high) == pytest.approx((max(0, times.mean() - half), times.mean() + half))
    cut = restricted_mean(times, followed=100, horizon=50)
    assert cut.mean == pytest.approx(np.minimum(times, 50).mean())
    one = restricted_mean([10, NAN, NAN], followed=50, horizon=50)
    assert (one.low, one.high) == (0, 50)


def test_restricted_mean_covers() -> None:
    truth = float(np.minimum(np.random.Generator(np.random.PCG64(0)).normal(200, 50, 400_000), 240).mean())
    inside = 0
    for r in range(400):
        t = np.random.Generator(np.random.PCG64([1, r])).normal(200, 50, 10).clip(1)
        found = restricted_mean(np.where(t > 240, NAN, t), followed=240, horizon=240)
        inside += found.low <= truth <= found.high
    assert inside / 400 > 0.95 - 0.033


def test_restricted_mean_covers_where_runs_are_lost_before_the_horizon() -> None:
    truth = 1000 * (1 - math.exp(-2))
    inside = 0
    for r in range(200):
        g = np.random.Generator(np.random.PCG64([2, r]))
        t, until = g.exponential(1000, 6), np.minimum(2000.0, g.uniform(300, 3500, 6))
        found = restricted_mean(
            np.where(t <= until, t, NAN), followed=until, horizon=float(np.minimum(t, until).max())
        )
        truth = 1000 * (1 - math.exp(-found.horizon / 1000))
        inside += found.low <= truth <= found.high
    assert inside / 200 > 0.95 - 0.046


def test_bounds_are_used_where_a_run_is_lost_before_the_horizon_only() -> None:
    times, until = np.array([10.0, 20, NAN, 40, NAN, 70]), np.array([99.0, 99, 25, 99, 99, 99])
    found = restricted_mean(times, followed=until, horizon=90)
    duration, status = np.where(np.isnan(times), until, times), (~np.isnan(times)).astype(np.int64)
    assert (found.low, found.high) == mean_bounds(duration, status, 90.0, 0.95)
    whole = restricted_mean(times, followed=99, horizon=90)
    duration[2] = 99
    assert (whole.low, whole.high) != mean_bounds(duration, status, 90.0, 0.95)


def test_bounds_of_a_mean_by_hand() -> None:
    # One run, lost at once: it may have been anywhere. One event at 30 of 100: a uniform share u stays.
    low, high = mean_bounds(np.array([30.0, 100.0]), np.array([1, 0]), 100.0, 0.9)
    g = np.random.Generator(np.random.PCG64(8))
    first, second = g.beta(2, 1, 400_000), g.beta(1, 1, 400_000)
    assert high == pytest.approx(np.quantile(30 + 70 * first, 0.95), abs=1.5)
    assert low == pytest.approx(np.quantile(30 * first + 70 * first * second, 0.05), abs=1.5)


def test_nothing_happened() -> None:
    assert kaplan_meier([NAN, NAN], followed=10).at(10) == 1
    none = aalen_johansen([NAN, NAN], diverged=[3, NAN], followed=10)
    assert none.at(10) == 0
    assert none.high[-1] == pytest.approx(binomtest(0, 2).proportion_ci(0.95, "exact").high)


@pytest.mark.parametrize(
    ("times", "options", "message"),
    [
        ([], {"followed": 10}, "shape"),
        ([5, 20], {"followed": 10}, "run 1 has step 20"),
        ([5, -1], {"followed": 10}, "at least 0"),
        ([5, 6], {"followed": [10, 10, 10]}, "followed"),
        ([5, 6], {"followed": 0}, "followed"),
        ([5, 6], {"followed": 10, "level": 2}, "level=2"),
    ],
)
def test_bad_input_is_one_line(times: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        kaplan_meier(times, **options)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match="horizon"):
        restricted_mean([5, NAN], followed=10, horizon=30)
    with pytest.raises(UserError, match="diverged"):
        aalen_johansen([5, NAN], diverged=[1], followed=10)
