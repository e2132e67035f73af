"""Families of tests: the textbook by hand, and the error rate under nulls."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from epochal.analysis import adjust, benjamini_hochberg, holm, max_t
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding, Verdict

P = [0.01, 0.04, 0.03, 0.005]


def finding(p: float | None, verdict: Verdict = "supported") -> Finding:
    return Finding(
        claim="c", test="t", estimate=1.0, low=0.0, high=2.0, num_runs=5, null="n", p=p, verdict=verdict
    )


def test_holm_and_benjamini_hochberg_by_hand() -> None:
    assert holm(P) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg(P) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    p = np.random.Generator(np.random.PCG64(0)).uniform(0, 0.1, 12)
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1])
    with_gap = holm([0.01, math.nan, 0.04, 0.03, 0.005])
    assert math.isnan(with_gap[1])
    assert np.delete(with_gap, 1) == pytest.approx(holm(P))
    assert holm([]).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_order_of_the_family_does_not_matter(p: list[float], random: object) -> None:
    order = list(range(len(p)))
    random.shuffle(order)  # type: ignore[attr-defined]
    for method in (holm, benjamini_hochberg):
        whole = method(p)
        assert method([p[i] for i in order]) == pytest.approx(whole[order])
        assert (whole >= np.array(p) - 1e-15).all() and (whole <= 1).all()


def test_adjust_takes_back_support_but_no_refutation() -> None:
    family = [finding(p) for p in P] + [finding(None, "undecided"), finding(0.9, "refuted")]
    adjusted = adjust(family)
    assert [found.adjusted_p for found in adjusted[:4]] == pytest.approx(list(holm([*P, 0.9])[:4]))
    assert [found.verdict for found in adjusted] == [
        "supported",
        "undecided",
        "undecided",
        "supported",
        "undecided",
        "refuted",
    ]
    assert adjusted[4] == family[4]
    assert [found.verdict for found in adjust(family[:4], method="benjamini-hochberg")] == ["supported"] * 4


def test_max_t_by_brute_force() -> None:
    g = np.random.Generator(np.random.PCG64(0))
    observed = g.normal(size=4) + 1
    null = g.normal(size=(99, 4))
    falling = sorted(range(4), key=lambda h: -observed[h])
    expected, least = {}, 0.0
    for step, h in enumerate(falling):
        rest = falling[step:]
        count = sum(max(row[k] for k in rest) >= observed[h] for row in null)
        least = max(least, (count + 1) / 100)
        expected[h] = least
    assert max_t(observed, null) == pytest.approx([expected[h] for h in range(4)])
    copies = max_t(np.repeat(observed[:1], 5), np.repeat(null[:, :1], 5, axis=1))
    alone = (np.sum(null[:, 0] >= observed[0]) + 1) / 100
    assert copies == pytest.approx([alone] * 5)


def test_max_t_keeps_the_family_wise_rate_of_dependent_tests() -> None:
    false = 0
    for r in range(400):
        g = np.random.Generator(np.random.PCG64([1, r]))
        shared = g.normal(size=(200, 1))
        rows = 0.8 * shared + 0.6 * g.normal(size=(200, 6))
        false += max_t(rows[0], rows[1:]).min() <= 0.05
    assert false / 400 < 0.05 + 3 * 0.011
    assert false / 400 > 0.02


@pytest.mark.parametrize("bad", [[0.5, 1.5], [-0.1], [[0.1]]])
def test_bad_p_is_one_line(bad: object) -> None:
    with pytest.raises(UserError, match=r"p-values|shape"):
        holm(bad)  # type: ignore[arg-type]


def test_bad_families_are_one_line() -> None:
    with pytest.raises(UserError, match=r"\[N, H\]"):
        max_t([1.0, 2.0], [[1.0]])
    with pytest.raises(UserError, match="finite"):
        max_t([math.nan], [[1.0]])
    with pytest.raises(UserError, match="method="):
        adjust([finding(0.1)], method="bonferroni")  # type: ignore[arg-type]
