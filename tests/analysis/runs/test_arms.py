"""Two arms with the same seeds: every swap by hand, the textbook's log-rank, planted truth and none."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import CensoredData, logrank

from epochal.analysis import compare_arms
from epochal.analysis.runs.arms import log_rank_scores
from epochal.core.values.errors import UserError

NAN = math.nan
ONE = np.array([100.0, 250, 300, 120, NAN, 80])
TWO = np.array([140.0, 260, NAN, 110, NAN, 200])


def test_restricted_mean_by_every_swap() -> None:
    one, two = (np.where(np.isnan(t), 400, t) for t in (ONE, TWO))
    found = compare_arms(ONE, TWO, horizon=400)
    differences = two - one
    means = [np.mean(np.array(signs) * differences) for signs in product((1, -1), repeat=6)]
    above = np.mean([m >= differences.mean() - 1e-9 for m in means])
    assert found.estimate == pytest.approx(differences.mean())
    assert found.p == pytest.approx(min(1, 2 * above))
    assert found.smallest_p == 2 / 2**6
    assert "events in 5 and 4 of 6 seeds" in found.sentence


def test_log_rank_scores_sum_to_the_textbook_statistic() -> None:
    g = np.random.Generator(np.random.PCG64(0))
    times = np.round(g.exponential(100, 40))  # with ties
    happened = times < 150
    times = np.minimum(times, 150)
    scores = log_rank_scores(times, happened)
    assert scores.sum() == pytest.approx(0)
    halves = [
        CensoredData(uncensored=t[e], right=t[~e])
        for t, e in ((times[:20], happened[:20]), (times[20:], happened[20:]))
    ]
    known = logrank(*halves)
    # Observed less expected of the first half, by the sum over event times.
    excess = 0.0
    for t in np.unique(times[happened]):
        risk = times >= t
        dead = (times == t) & happened
        excess += dead[:20].sum() - dead.sum() * risk[:20].sum() / risk.sum()
    assert scores[:20].sum() == pytest.approx(excess)
    assert math.copysign(1, excess) == math.copysign(1, known.statistic)
    found = compare_arms(ONE, TWO, horizon=400, test="log-rank")
    assert found.p is not None and 0.1 < found.p <= 1


def test_seeds_make_the_pairs() -> None:
    found = compare_arms(ONE, TWO, horizon=400)
    order = np.array([3, 0, 5, 1, 4, 2])
    seeds = np.arange(6)
    other = compare_arms(ONE[order], TWO, horizon=400, seeds_1=seeds[order], seeds_2=seeds)
    assert (other.p, other.estimate, other.low) == (found.p, found.estimate, found.low)
    other = compare_arms(ONE, TWO[order], horizon=400, seeds_1=seeds, seeds_2=seeds[order])
    assert (other.p, other.estimate, other.low) == (found.p, found.estimate, found.low)
    more = compare_arms(np.append(ONE, 50), TWO, horizon=400, seeds_1=[*range(6), 9], seeds_2=seeds)
    assert (more.p, more.num_runs) == (found.p, 6)
    assert "1 runs without a partner" in more.sentence
    back = compare_arms(TWO, ONE, horizon=400)
    assert (back.p, back.estimate) == (found.p, -found.estimate)  # type: ignore[operator]


@pytest.mark.parametrize("num_runs", [8, 25])
def test_blocking_finds_what_hides_between_seeds_and_keeps_its_level(num_runs: int) -> None:
    hits = false = 0
    for r in range(100):
        g = np.random.Generator(np.random.PCG64([num_runs, r]))
        seed = g.normal(2000, 500, num_runs)
        a, b, c = (np.clip(seed + shift + g.normal(0, 40, num_runs), 1, 3999) for shift in (0, 80, 0))
        hits += compare_arms(a, b, horizon=4000, seed=r).verdict == "supported"
        false += compare_arms(a, c, horizon=4000, seed=r).verdict == "supported"
    assert hits / 100 > 0.8
    assert false / 100 < 0.05 + 3 * 0.022


@pytest.mark.parametrize("num_runs", [7, 20])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_interval_and_p_agree(num_runs: int, alpha: float) -> None:
    verdicts = set()
    for r in range(20):
        g = np.random.Generator(np.random.PCG64([4, r]))
        one = g.uniform(1000, 2000, num_runs)
        two = one + g.normal(12 * r, 80, num_runs)
        found = compare_arms(one, two, horizon=4000, alpha=alpha, power=None)
        assert found.low is not None and found.high is not None and found.p is not None
        assert (found.p <= alpha) == (found.low > 0 or found.high < 0)
        assert found.level == pytest.approx(1 - alpha)
        verdicts.add(found.verdict)
    assert "undecided" in verdicts


def test_how_many_seeds_would_decide() -> None:
    one = np.array([1000.0, 1200, 1500, 1700, 1300])
    clear = compare_arms(one, one + np.array([200, 210, 190, 205, 195]), horizon=4000)
    assert (clear.smallest_p, clear.verdict) == (2 / 2**5, "undecided")  # five seeds cannot
    assert clear.runs_needed == 6  # the first number that can
    vague = compare_arms(one, one + np.array([200, -100, 190, 10, -50]), horizon=4000)
    assert vague.runs_needed is None or vague.runs_needed > 10


def test_refuted_is_an_interval_within_the_margin() -> None:
    g = np.random.Generator(np.random.PCG64(3))
    one = g.uniform(1000, 2000, 12)
    two = one + g.normal(0, 5, 12)
    assert compare_arms(one, two, horizon=3000, margin=50).verdict == "refuted"
    assert compare_arms(one, two, horizon=3000).verdict == "undecided"


@pytest.mark.parametrize(
    ("one", "two", "options", "message"),
    [
        (ONE, TWO, {"horizon": 200}, "after horizon=200"),
        (ONE, TWO, {"horizon": -1}, "horizon=-1"),
        (ONE, TWO[:4], {"horizon": 400}, "name their seeds"),
        (ONE, TWO, {"horizon": 400, "seeds_1": range(6)}, "go together"),
        (ONE, TWO, {"horizon": 400, "seeds_1": [0] * 6, "seeds_2": range(6)}, "repeats a seed"),
        (ONE, TWO, {"horizon": 400, "seeds_1": range(6), "seeds_2": range(4, 10)}, "2 seeds are in both"),
        ([NAN] * 4, [NAN] * 4, {"horizon": 400}, "no run of either arm"),
        (ONE, TWO, {"horizon": 400, "margin": 0}, "margin=0"),
        (ONE, TWO, {"horizon": 400, "test": "t"}, "test='t'"),
        ([[10, math.inf], [1, 2], [3, 4]], [1, 2, 3], {"horizon": 400}, "observed to step 10 only"),
    ],
)
def test_bad_input_is_one_line(one: object, two: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        compare_arms(one, two, **options)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
