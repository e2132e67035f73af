"""Coupling across runs: against enumeration by hand, invariances, planted truth and none."""

import math
from itertools import permutations, product

import numpy as np
import pytest
from scipy.stats import kendalltau

from epochal.analysis import coupling, coupling_power, couplings
from epochal.analysis.runs.coupling_power import kendall_variance
from epochal.analysis.runs.tau_interval import tau_interval
from epochal.core.values.errors import UserError

NAN = math.nan


def generator(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def concordance_by_hand(a: list[float], b: list[float], strata: list[int]) -> int:
    total = 0
    for i in range(len(a)):
        for j in range(i):
            if strata[i] == strata[j] and a[i] != a[j] and b[i] != b[j]:
                total += 1 if (a[i] > a[j]) == (b[i] > b[j]) else -1
    return total


def p_by_hand(a: list[float], b: list[float], strata: list[int]) -> tuple[float, float]:
    """p and the smallest p over every pairing within strata; NaN as the same infinity."""
    a, b = ([math.inf if math.isnan(t) else t for t in times] for times in (a, b))
    members = [[i for i, s in enumerate(strata) if s == label] for label in sorted(set(strata))]
    values = []
    for orders in product(*(permutations(m) for m in members)):
        shuffled = list(b)
        for own, others in zip(members, orders, strict=True):
            for i, j in zip(own, others, strict=True):
                shuffled[i] = b[j]
        values.append(concordance_by_hand(a, shuffled, strata))
    seen = concordance_by_hand(a, b, strata)
    return (
        sum(v >= seen for v in values) / len(values),
        sum(v == max(values) for v in values) / len(values),
    )


@pytest.mark.parametrize("num_runs", [3, 5, 7, 8])
def test_exact_p_is_that_of_scipy(num_runs: int) -> None:
    g = generator(num_runs)
    a, b = g.normal(size=(2, num_runs))
    found = coupling(a, b, power=None)
    known = kendalltau(a, b, method="exact", alternative="greater")
    assert found.p == pytest.approx(known.pvalue, abs=1e-12)
    assert found.estimate == pytest.approx(known.statistic, abs=1e-12)
    assert found.smallest_p == pytest.approx(1 / math.factorial(num_runs))
    both = coupling(a, b, alternative="either", power=None)
    assert both.p == pytest.approx(kendalltau(a, b, method="exact").pvalue, abs=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "strata"),
    [
        ([3, 1, 2, 5, 4], [30, 10, 40, 50, NAN], [0] * 5),
        ([3, NAN, 2, NAN, 4], [30, NAN, 20, 40, NAN], [0] * 5),
        ([1, 1, 2, 2, 3, 3], [1, 2, 2, 3, 3, 9], [0] * 6),
        ([1, 2, 3, 11, 12, 13, 14], [3, 1, 2, 11, NAN, 13, 12], [0, 0, 0, 1, 1, 1, 1]),
        ([1, 2, 3, 11, 12, 7], [3, 1, 2, 12, 11, 1], [0, 1, 0, 1, 0, 2]),
    ],
)
def test_exact_p_with_ties_censoring_and_strata(a: list[float], b: list[float], strata: list[int]) -> None:
    found = coupling(a, b, strata=strata, power=None)
    assert (found.p, found.smallest_p) == pytest.approx(p_by_hand(a, b, strata))


def test_random_pairings_come_near_the_exact_p_and_count_the_observed() -> None:
    g = generator(1)
    a = g.normal(size=11)
    b = a + g.normal(size=11)
    found = coupling(a, b, power=None)
    exact = float(kendalltau(a, b, method="exact", alternative="greater").pvalue)
    assert found.p == pytest.approx(exact, abs=4 * math.sqrt(exact / 9999) + 1e-4)
    assert coupling(a, a, power=None).p == found.smallest_p == 1 / 10_000


def test_what_must_not_matter() -> None:
    g = generator(2)
    a, b = g.normal(1000, 100, size=(2, 8))
    b[2] = NAN
    found = coupling(a, b, power=None)
    order = g.permutation(8)
    for other in (
        coupling(a[order], b[order], power=None),  # the names of the runs
        coupling(a, b + 1200, power=None),  # a constant lag
        coupling(np.log(a), b**3, power=None),  # the axis of time
        coupling(b, a, power=None),  # which is A
        coupling(a, b, strata=["x"] * 8, power=None),
        coupling(np.stack([a, a], 1), np.stack([b, b], 1), power=None),
        coupling(a, np.where(np.isnan(b), 1e9, b), power=None),
    ):
        assert (other.p, other.estimate) == pytest.approx((found.p, found.estimate))


def test_overlapping_intervals_are_tied() -> None:
    low = np.array([0.0, 10, 20, 30, 40])
    touching = np.stack([low, low + 10], axis=1)
    points = np.arange(5)
    assert coupling(points, touching, power=None).p == pytest.approx(1 / 120)
    wide = np.stack([low, low + 10.5], axis=1)  # neighbours overlap: 6 of 10 pairs are left
    assert coupling(points, wide, power=None).estimate == pytest.approx(6 / math.sqrt(60))
    known = np.stack([low, np.where(low == 40, np.inf, low + 10)], axis=1)  # censored after the others
    assert coupling(points, known, power=None).p == pytest.approx(1 / 120)
    early = np.stack([np.where(low == 40, 5, low), np.where(low == 40, np.inf, low + 10)], axis=1)
    assert coupling(points, early, power=None).estimate == pytest.approx(6 / math.sqrt(60))


def test_level_under_common_timing_and_unlike_arms() -> None:
    pooled = within = claimed = 0
    arm = np.repeat([0, 1], 5)
    for r in range(300):
        g = generator(3, r)
        a, b = g.normal(2000, 300, size=(2, 10))
        claimed += coupling(a, b, power=None, num_draws=199, seed=r).verdict == "supported"
        a, b = a + 3000 * arm, b + 3000 * arm
        pooled += coupling(a, b, power=None, num_draws=199, seed=r).verdict == "supported"
        within += coupling(a, b, strata=arm, power=None).verdict == "supported"
    # 300 at .05: standard error .0126, three of which are allowed.
    assert claimed / 300 < 0.05 + 0.038
    assert within / 300 < 0.05 + 0.038
    assert pooled / 300 > 0.8


@pytest.mark.parametrize("lag", [0, 1200])
def test_planted_coupling_is_found_whatever_the_lag(lag: float) -> None:
    found = 0
    for r in range(50):
        g = generator(4, r)
        latent = g.normal(2000, 300, 10)
        a, b = latent + g.normal(0, 40, 10), latent + lag + g.normal(0, 40, 10)
        found += coupling(a, b, power=None, num_draws=199, seed=r).verdict == "supported"
    assert found >= 45


def test_family_shares_its_pairings() -> None:
    g = generator(5)
    a = g.normal(size=7)
    b = a + g.normal(0, 0.5, 7)
    alone = coupling(a, b, power=None)
    copies = couplings(a, {"b": b, "again": b + 5, "third": 2 * b}, power=None)
    assert [found.adjusted_p for found in copies] == [alone.p] * 3  # copies cost nothing
    mixed = couplings(a, {"b": b, "noise": g.normal(size=7), "more": g.normal(size=7)}, power=None)
    assert all(found.adjusted_p >= found.p for found in mixed)  # type: ignore[operator]
    assert mixed[0].p == alone.p
    assert mixed[0].adjusted_p <= 3 * alone.p  # type: ignore[operator]


def test_interval_holds_the_truth_and_agrees_with_fieller_for_many_runs() -> None:
    low, high = tau_interval(0.5, ((80, 0, 0),), level=0.95)
    z = math.atanh(0.5)
    half = 1.96 * math.sqrt(0.437 / 76)
    assert (low, high) == pytest.approx((math.tanh(z - half), math.tanh(z + half)), abs=0.03)
    rho = math.sin(math.pi * 0.8 / 2)
    for groups in (((5, 0, 0), (5, 0, 0)), ((12, 0, 0),)):
        inside = 0
        for r in range(400):
            g = generator(6, r)
            total, pairs = 0.0, 0
            for size, _, _ in groups:
                a = g.standard_normal(size)
                b = rho * a + math.sqrt(1 - rho**2) * g.standard_normal(size)
                total += kendalltau(a, b).statistic * size * (size - 1) / 2
                pairs += size * (size - 1) // 2
            low, high = tau_interval(total / pairs, groups, level=0.95)
            inside += low <= 0.8 <= high
        assert inside / 400 > 0.95 - 0.033  # three standard errors


@pytest.mark.parametrize(("ties_a", "ties_b"), [([], []), ([2], []), ([3], [2, 2]), ([5], [4])])
def test_variance_of_s_is_that_of_all_pairings(ties_a: list[int], ties_b: list[int]) -> None:
    def with_ties(ties: list[int]) -> list[float]:
        values = [float(k) for k, t in enumerate(ties) for _ in range(t)]
        return values + [100.0 + k for k in range(6 - len(values))]

    a, b = with_ties(ties_a), with_ties(ties_b)
    values = [concordance_by_hand(a, list(order), [0] * 6) for order in permutations(b)]
    assert kendall_variance(6, ties_a, ties_b) == pytest.approx(np.var(values))


def test_power_by_closed_form_and_in_order() -> None:
    # Only the perfect order of 4 has p <= .05: 1 of 24. 4,000 draws: standard error .003.
    assert coupling_power(0.0, 4, num_draws=4000) == pytest.approx(1 / 24, abs=0.01)
    assert coupling_power(0.9, 3) == 0.0
    powers = [coupling_power(0.5, runs) for runs in (5, 10, 20, 40)]
    assert powers == sorted(powers)
    assert coupling_power(0.5, 20, censored_b=0.5) < coupling_power(0.5, 20)
    weak = coupling([1, 2, 3, 4, 5, 6], [1, 3, 2, 5, 6, 4])
    strong = coupling([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 6, 5])
    assert weak.runs_needed is not None and strong.runs_needed is not None
    assert strong.runs_needed < weak.runs_needed


def test_refuted_needs_an_interval_below_the_claim() -> None:
    runs = np.arange(12.0)
    assert coupling(runs, -runs, power=None).verdict == "refuted"
    assert coupling(runs, -runs, alternative="either").verdict == "supported"
    against = coupling(np.arange(8), [6, 7, 2, 5, 4, 3, 0, 8], alternative="either", least=0.5, power=None)
    assert against.high is not None and against.high < 0.5  # not coupled upwards, but perhaps downwards
    assert against.verdict == "undecided"
    g = generator(7)
    a, b = g.normal(size=(2, 60))
    assert coupling(a, b, alternative="either", power=None).verdict == "undecided"
    assert coupling(a, b, alternative="either", least=0.6, power=None).verdict == "refuted"
    assert coupling(a, b, power=None).verdict == "undecided"
    assert coupling(a, b, least=0.6, power=None).verdict == "refuted"


@pytest.mark.parametrize("alternative", ["together", "either"])
def test_verdict_and_interval_never_contradict(alternative: str) -> None:
    verdicts = set()
    for r in range(60):
        g = generator(8, r)
        rho = (r % 5 - 1.5) / 3
        a = g.normal(size=7)
        b = rho * a + math.sqrt(1 - rho**2) * g.normal(size=7)
        a, b = np.round(a, 1 - r % 2), np.where(b > 1.2, NAN, b)
        found = coupling(a, b, alternative=alternative, power=None)  # type: ignore[arg-type]
        assert found.low is not None and found.high is not None and found.p is not None
        claimed = found.low > 0 or (alternative == "either" and found.high < 0)
        assert claimed == (found.p <= 0.05)
        assert found.level == pytest.approx(0.9 if alternative == "together" else 0.95)
        assert (found.verdict == "refuted") == (alternative == "together" and found.high < 0)
        verdicts.add(found.verdict)
    assert {"supported", "undecided"} <= verdicts


def test_a_coupling_that_is_too_weak_is_refuted_however_small_its_p() -> None:
    g = generator(9)
    a = g.normal(size=150)
    b = 0.4 * a + g.normal(size=150)
    weak = coupling(a, b, least=0.6, power=None, num_draws=999)
    assert weak.p is not None and weak.p < 0.01 and weak.high is not None and weak.high < 0.6
    assert weak.verdict == "refuted"


def test_nothing_to_pair_is_undecided() -> None:
    found = coupling([5, 5, 5, 5], [1, 2, 3, 4])
    assert (found.p, found.verdict, found.estimate) == (1.0, "undecided", None)
    assert "tied" in found.sentence


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ([1, 2, 3], [1, 2], {}, "3 runs"),
        ([1, 2], [1, 2], {}, "too few"),
        ([1, 2, 3], [NAN] * 3, {}, "none of 3 runs"),
        ([1, 2, 3], np.ones((3, 3)), {}, "shape"),
        ([1, 2, 3], [[2, 1], [1, 2], [1, 2]], {}, "low=2 above high=1"),
        ([1, 2, 3], ["x", "y", "z"], {}, "numbers"),
        ([1, 2, 3], [1, -math.inf, 3], {}, "-inf"),
        ([1, 2, 3], [1, 2, 3], {"strata": [0, 1]}, "strata has shape"),
        ([1, 2, 3], [1, 2, 3], {"strata": [0, 1, 2]}, "alone"),
        ([1, 2, 3], [1, 2, 3], {"alternative": "less"}, "alternative="),
        ([1, 2, 3], [1, 2, 3], {"alpha": 1.0}, "alpha="),
        ([1, 2, 3], [1, 2, 3], {"power": 2}, "power="),
        ([1, 2, 3], [1, 2, 3], {"least": -1}, "least="),
        ([1, 2, 3], [1, 2, 3], {"num_draws": 5}, "num_draws="),
    ],
)
def test_bad_input_is_one_line(a: object, b: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        coupling(a, b, **options)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
