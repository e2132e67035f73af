"""A claim about an algorithm: against enumeration and scipy, and what is no seed."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from epochal.analysis.nulls import across_seeds, credit_cosine
from epochal.core.values.errors import UserError
from tests.analysis.nulls.networks import generator, network


def test_sign_flips_are_those_of_all_signs() -> None:
    values = generator(1).normal(0.03, 0.04, 8)
    found = across_seeds(values, range(8))
    means = [np.mean(values * signs) for signs in product((1, -1), repeat=8)]
    assert found.p == pytest.approx(np.mean(np.abs(means) >= abs(values.mean()) - 1e-12))
    assert found.smallest_p == 2 / 256
    assert found.estimate == pytest.approx(values.mean())


def test_t_is_that_of_scipy() -> None:
    values = generator(2).normal(0.03, 0.02, 7)
    found, known = across_seeds(values, range(7), test="t"), ttest_1samp(values, 0)
    assert found.p == pytest.approx(known.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(known.confidence_interval()))
    assert found.verdict == "supported" and found.smallest_p is None


def test_verdicts() -> None:
    high, low = [0.16, 0.15, 0.17, 0.18, 0.14, 0.16], [0.001, -0.002, 0.003, 0.002, -0.001, 0.004]
    seeds = range(6)
    assert across_seeds(high, seeds).verdict == "supported"
    assert across_seeds(low, seeds).verdict == "undecided"
    assert across_seeds(low, seeds, least=0.05).verdict == "refuted"
    assert across_seeds([-x for x in high], seeds).verdict == "refuted"
    five = across_seeds(high[:5], seeds[:5])
    assert (five.p, five.verdict, five.runs_needed) == (2 / 32, "undecided", 6)
    assert "6 would decide" in five.sentence
    assert across_seeds(low, seeds).runs_needed is not None
    assert across_seeds([-x for x in high], seeds).runs_needed is None
    assert across_seeds(high, seeds, power=None).runs_needed is None


def test_level_with_one_network_per_seed() -> None:
    """200 replicates of 6 networks: exact level 2/64, standard error .012."""
    claimed = 0
    for r in range(200):
        values = []
        for s in range(6):
            g = generator(3, r, s)
            known = network(g, n=20, d=12, classes=3, depth=1)
            feedback = g.normal(size=(12, 3))
            values.append(credit_cosine(known.errors, known.gradients[0], feedback, draws=19).statistic)
        claimed += across_seeds(values, range(6), power=None).p <= 0.05  # type: ignore[operator]
    assert claimed / 200 < 2 / 64 + 0.036


def test_samples_and_layers_are_no_seeds() -> None:
    values = generator(4).normal(size=(4, 30))
    with pytest.raises(UserError, match=r"shape \[4, 30\]: give one number per seed; average over samples"):
        across_seeds(values, range(4))
    with pytest.raises(UserError, match="30 statistics for 4 seeds"):
        across_seeds(values[0], range(4))
    with pytest.raises(UserError, match="seed 7 is given 29 times"):
        across_seeds(values[0], [1, *[7] * 29])
    with pytest.raises(UserError, match="2 seeds say nothing"):
        across_seeds(values[0, :2], range(2))
    with pytest.raises(UserError, match="1 of 5 statistics are not finite"):
        across_seeds([np.nan, 1, 2, 3, 4], range(5))
    with pytest.raises(UserError, match="use test='t'"):
        across_seeds(values[0], range(30))
    with pytest.raises(UserError, match="give 'sign-flip' or 't'"):
        across_seeds(values[0], range(30), test="z")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="least=-1"):
        across_seeds(values[0, :5], range(5), least=-1)
