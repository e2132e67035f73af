"""Findings about means: scipy's t test by another name, error rates, and agreement of test and interval."""

import math

import numpy as np
import pytest
from scipy import stats

from epochal.analysis.runs.mean_against import mean_beyond, mean_within, untested
from epochal.core.values.errors import UserError

VALUES = np.array([0.3, 0.5, 0.1, 0.7, 0.45])


@pytest.mark.parametrize(("side", "alternative"), [("above", "greater"), ("below", "less")])
def test_beyond_is_the_one_sided_t_test(side: str, alternative: str) -> None:
    found = mean_beyond(VALUES, 0.2, side=side, alpha=0.05, claim="c", null="n")  # type: ignore[arg-type]
    truth = stats.ttest_1samp(VALUES, 0.2, alternative=alternative)
    assert found.p == pytest.approx(truth.pvalue, rel=1e-9)
    interval = stats.ttest_1samp(VALUES, 0.0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.level == 0.9 and found.num_runs == 5 and found.estimate == pytest.approx(VALUES.mean())


def test_each_side_refutes_what_the_other_supports() -> None:
    far = VALUES + 2
    verdicts = {
        s: mean_beyond(far, 0.2, side=s, alpha=0.05, claim="c", null="n").verdict for s in ("above", "below")
    }
    assert verdicts == {"above": "supported", "below": "refuted"}
    assert mean_beyond(VALUES, 0.41, alpha=0.05, claim="c", null="n").verdict == "undecided"
    # Something else has to hold as well.
    assert mean_beyond(far, 0.2, alpha=0.05, claim="c", null="n", also=0.2).p == 0.2


def test_logarithms_are_told_as_factors() -> None:
    found = mean_beyond(VALUES, math.log(1.1), alpha=0.05, claim="c", null="n", is_log=True)
    plain = mean_beyond(VALUES, math.log(1.1), alpha=0.05, claim="c", null="n")
    assert plain.estimate is not None and plain.low is not None
    assert (found.estimate, found.low) == (math.exp(plain.estimate), math.exp(plain.low))
    assert (found.p, found.verdict) == (plain.p, plain.verdict)


@pytest.mark.parametrize("margin", [0.05, 0.3, 0.45, 0.8, 2.0])
def test_within_agrees_with_its_interval(margin: float) -> None:
    found = mean_within(VALUES, margin, alpha=0.05, claim="c")
    above = stats.ttest_1samp(VALUES, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(VALUES, margin, alternative="less").pvalue
    assert found.p == pytest.approx(max(above, below), rel=1e-9)
    assert found.low is not None and found.high is not None
    is_inside = -margin < found.low and found.high < margin
    is_outside = found.low > margin or found.high < -margin
    assert found.verdict == ("supported" if is_inside else "refuted" if is_outside else "undecided")


def test_at_the_bound_a_claim_is_supported_as_often_as_alpha_says() -> None:
    drawn = np.random.Generator(np.random.PCG64(3)).normal(1.0, 2.0, (4000, 6))
    beyond = np.mean(
        [mean_beyond(v, 1.0, alpha=0.05, claim="c", null="n").verdict == "supported" for v in drawn]
    )
    assert 0.04 < beyond < 0.06  # four standard errors: .0138
    inside = np.mean([mean_within(v, 1.0, alpha=0.05, claim="c").verdict == "supported" for v in drawn])
    assert inside < 0.06


def test_equal_values_need_a_least_spread() -> None:
    same = np.full(4, 0.5)
    with pytest.raises(UserError, match="equal"):
        mean_beyond(same, 0.0, alpha=0.05, claim="c", null="n")
    assert mean_beyond(same, 0.0, alpha=0.05, claim="c", null="n", least_sd=1e-6).verdict == "supported"


def test_nothing_to_test_decides_nothing() -> None:
    found = untested("c", 2, "two networks are too few")
    assert (found.verdict, found.p, found.num_runs, found.note) == (
        "undecided",
        None,
        2,
        "two networks are too few",
    )
