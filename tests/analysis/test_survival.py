"""Survival curves: by hand, by what they become without censoring, and their coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf
from scipy.stats import t as student
from statsmodels.duration.survfunc import SurvfuncRight

from epochal.analysis import aalen_johansen, kaplan_meier, restricted_mean
from epochal.core.values.errors import UserError

NAN = math.nan


def test_kaplan_meier_by_hand() -> None:
    curve = kaplan_meier([10, 20, NAN, 30, NAN], followed=[90, 90, 25, 90, 40])
    assert list(curve.step[:3]) == [0, 10, 20]
    assert [curve.at(s) for s in (0, 9, 10, 25, 30, 80)] == pytest.approx([1, 1, 0.8, 0.6, 0.3, 0.3])
    assert curve.median_step == 30
    assert math.isnan(kaplan_meier([10, NAN, NAN], followed=50).median_step)
    # log(-log S) at S = .8 with Greenwood's variance 1 / (5 x 4).
    half = 1.959964 * math.sqrt(1 / 20) / abs(math.log(0.8))
    k = int(np.flatnonzero(curve.step == 10)[0])
    assert curve.low[k] == pytest.approx(0.8 ** math.exp(half), rel=1e-5)
    assert curve.high[k] == pytest.approx(0.8 ** math.exp(-half), rel=1e-5)


def test_kaplan_meier_is_that_of_scipy() -> None:
    g = np.random.Generator(np.random.PCG64(0))
    t = np.round(g.exponential(100, 30))
    until = np.round(g.uniform(60, 200, 30))
    seen = np.where(t <= until, t, NAN)
    known = ecdf(CensoredData(uncensored=t[t <= until], right=until[t > until])).sf
    curve = kaplan_meier(seen, followed=until)
    for step in (20, 55, 90, 140):
        assert curve.at(step) == pytest.approx(float(known.evaluate(step)))


def test_intervals_are_those_of_statsmodels() -> None:
    g = np.random.Generator(np.random.PCG64(1))
    t = np.round(g.exponential(100, 25))
    curve = kaplan_meier(np.where(t <= 120, t, NAN), followed=120)
    known = SurvfuncRight(np.minimum(t, 120), (t <= 120).astype(int))
    k = len(known.surv_times) // 2
    step = known.surv_times[k]
    low, high = known.quantile_ci(1 - known.surv_prob[k], method="cloglog")
    assert low < step <= high
    at = int(np.flatnonzero(curve.step == step)[0])
    half = 1.959964 * known.surv_prob_se[k] / (known.surv_prob[k] * abs(math.log(known.surv_prob[k])))
    assert curve.low[at] == pytest.approx(known.surv_prob[k] ** math.exp(half), rel=1e-5)
    assert curve.at_risk[at] == known.n_risk[k]


def test_without_censoring_shares_are_plain() -> None:
    times = np.array([10.0, 20, 20, 40, 70, 70, 70, 90])
    curve = kaplan_meier(times, followed=100)
    for step in (0, 10, 25, 70, 95):
        assert curve.at(step) == pytest.approx(np.mean(times > step))
    assert (np.diff(curve.value) <= 0).all()
    assert curve.value[-1] == 0 and curve.low[-1] == 0 and curve.high[-1] == curve.high[-2]
    assert ((curve.low <= curve.value) & (curve.value <= curve.high)).all()


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
        # Binomial: recover the standard error from the interval on log(-log F).
        k = int(np.searchsorted(ours.step, step, side="right")) - 1
        if 0 < share < 1 - 1e-9:
            se = math.log(math.log(ours.low[k]) / math.log(share)) / 1.959964 * share * abs(math.log(share))
            assert se == pytest.approx(math.sqrt(share * (1 - share) / len(runs)), rel=1e-4)


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


def test_nothing_happened() -> None:
    assert kaplan_meier([NAN, NAN], followed=10).at(10) == 1
    assert aalen_johansen([NAN, NAN], diverged=[3, NAN], followed=10).at(10) == 0


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
