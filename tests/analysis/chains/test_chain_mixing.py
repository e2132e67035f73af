"""R-hat, effective sample size and the verdict, on chains whose law is known."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from epochal.analysis.chains.chain_mixing import bulk_ess, mean_error, mean_ess, rank_rhat
from epochal.analysis.chains.learning_coefficient import Estimate, estimate
from epochal.core.values.errors import UserError

Array = NDArray[np.float64]


def autoregressive(phi: float, chains: int, draws: int, seed: int) -> Array:
    """Stationary AR(1) of variance 1: n draws are worth n (1 - phi) / (1 + phi) for the mean."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(chains, draws))
    for t in range(1, draws):
        x[:, t] = phi * x[:, t - 1] + math.sqrt(1 - phi**2) * x[:, t]
    return x


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, -0.4])
def test_effective_draws_of_an_autoregression(phi: float) -> None:
    exact = 4 * 5000 * (1 - phi) / (1 + phi)
    seen = [mean_ess(autoregressive(phi, 4, 5000, seed)) for seed in range(8)]
    assert np.mean(seen) == pytest.approx(exact, rel=0.1)
    assert bulk_ess(autoregressive(phi, 4, 5000, 0)) == pytest.approx(exact, rel=0.2)


def test_the_error_of_the_mean_covers() -> None:
    """95% of 400 repetitions within 1.96 errors, +- 3 binomial sd = 3.3%."""
    hits = 0
    for seed in range(400):
        draws = autoregressive(0.8, 4, 800, seed)
        hits += abs(draws.mean()) < 1.96 * mean_error(draws)
    assert 0.915 <= hits / 400 <= 0.985


def test_chains_that_disagree_in_place_or_in_width() -> None:
    same = autoregressive(0.3, 4, 500, 1)
    assert rank_rhat(same) < 1.01
    assert rank_rhat(same + np.array([[0.0], [0.0], [0.0], [2.0]])) > 1.2
    assert rank_rhat(same * np.array([[1.0], [1.0], [1.0], [5.0]])) > 1.1  # the folded part sees widths
    assert rank_rhat(np.ones((4, 100))) == 1.0
    assert math.isnan(rank_rhat(np.ones((4, 3))))


def test_they_agree_with_arviz() -> None:
    array_stats = pytest.importorskip(
        "arviz_stats.base", reason="pip install arviz-stats compares"
    ).array_stats
    for phi in (0.0, 0.5, 0.9):
        draws = autoregressive(phi, 4, 1001, 3) + np.arange(4)[:, None] * 0.1
        assert rank_rhat(draws) == pytest.approx(float(array_stats.rhat(draws)), abs=1e-12)
        # Stan adds one more positive term where the pairs end.
        assert bulk_ess(draws) == pytest.approx(float(array_stats.ess(draws)), rel=0.05)
        assert mean_ess(draws) == pytest.approx(float(array_stats.ess(draws, method="mean")), rel=0.05)


def judged(draws: Array, burn_in: int = 0, n_beta: float = 10.0, baseline: float = 1.0) -> Estimate:
    return estimate(
        baseline + draws / n_beta, baseline=baseline, n_beta=n_beta, gamma=1.0, step_size=0.1, burn_in=burn_in
    )


def test_settled_chains_give_their_mean_and_a_verdict() -> None:
    draws = 5 + autoregressive(0.5, 4, 1000, 2)
    found = judged(draws)
    assert found.equilibrated and not found.reasons
    assert found.value == pytest.approx(draws.mean()) and float(found) == found.value
    assert found.standard_error == pytest.approx(math.sqrt(3 / 4000), rel=0.25)
    np.testing.assert_allclose(found.traces, draws)
    assert "n_beta=10" in repr(found) and "gamma=1" in repr(found) and "equilibrated" in repr(found)


def test_settled_chains_are_seldom_doubted() -> None:
    """Of 100 sets of four chains of 1,000 draws at phi = .8, at most 3 are."""
    doubted = [not judged(5 + autoregressive(0.8, 4, 1000, seed)).equilibrated for seed in range(100)]
    assert sum(doubted) <= 3


@pytest.mark.parametrize(
    ("draws", "reason"),
    [
        (5 + autoregressive(0.5, 4, 1000, 4) + np.linspace(0, 1, 1000), "drifting"),
        (5 + autoregressive(0.5, 4, 1000, 5) + np.array([[0], [0], [0], [2]]), "R-hat"),
        (5 + autoregressive(0.99, 4, 400, 6), "effective draws"),
        (5 + autoregressive(0.5, 1, 1000, 7), "one chain"),
        (-5 + autoregressive(0.5, 4, 1000, 8), "negative"),
        (5 + 10 * autoregressive(0.0, 4, 10000, 9) + np.array([[0], [1.5], [-1.5], [1]]), "slow modes"),
    ],
)
def test_what_speaks_against_it_is_said(draws: Array, reason: str) -> None:
    found = judged(draws)
    assert not found.equilibrated
    assert any(reason in each for each in found.reasons), found.reasons
    assert repr(found).startswith("LLC not equilibrated")
    with pytest.raises(UserError, match="not equilibrated"):
        float(found)


def test_a_diverged_chain_is_no_part_of_the_mean() -> None:
    draws = 5 + autoregressive(0.5, 4, 1000, 2)
    whole = judged(draws[:3])
    draws[3, 700:] = np.nan
    found = judged(draws)
    assert found.value == whole.value and found.diverged == {3: 700}
    assert not found.equilibrated and "chain 3 diverged at step 700" in found.reasons
    draws[:] = np.nan
    assert math.isnan(judged(draws).value) and not judged(draws).equilibrated


def test_burn_in_is_no_part_of_the_estimate() -> None:
    draws = 5 + autoregressive(0.5, 4, 1000, 2)
    assert judged(np.concatenate([np.zeros((4, 300)), draws], axis=1), burn_in=300).value == pytest.approx(
        draws.mean()
    )


def test_an_uncertain_baseline_is_part_of_the_error() -> None:
    draws = 5 + autoregressive(0.5, 4, 1000, 2)
    found = estimate(
        draws, baseline=0.0, baseline_error=0.3, n_beta=10.0, gamma=0.0, step_size=0.1, burn_in=0
    )
    assert found.errors["baseline"] == 3.0
    assert found.standard_error == pytest.approx(math.hypot(3.0, found.errors["sampling"]))


@pytest.mark.parametrize(
    ("value", "excess", "share", "said"),
    [
        (5.0, 0.2, 0.2 / 4.8, None),
        (5.0, 1.0, 0.25, "its steps make it up to 25% too high: take a smaller step_size"),
        (5.0, 6.0, math.inf, "how much too high its steps make it cannot be told"),
        (-5.0, 0.2, math.nan, "negative"),
        (-1e-3, 0.2, math.nan, "how much too high its steps make it cannot be told"),
    ],
)
def test_what_steps_add_is_a_note_or_a_reason(
    value: float, excess: float, share: float, said: str | None
) -> None:
    draws = autoregressive(0.5, 4, 1000, 2)
    found = estimate(
        1 + (value + draws - draws.mean()) / 10, baseline=1.0, n_beta=10.0, gamma=1.0, step_size=0.1,
        burn_in=0, excess=np.full(4, excess),
    )  # fmt: skip
    assert found.step_bias == pytest.approx(share, nan_ok=True)
    assert found.equilibrated == (said is None)
    assert said is None or any(reason.startswith(said) for reason in found.reasons)
    assert "inf" not in repr(found) and "nan" not in repr(found)
    assert any("up to 4.2% too high" in note for note in found.notes) == (said is None)


@pytest.mark.parametrize("value", [0.05, -0.01])
def test_what_steps_add_is_no_reason_where_the_error_hides_it(value: float) -> None:
    draws = autoregressive(0.5, 4, 1000, 2)
    for baseline_error, is_hidden in ((0.01, True), (0.0, False)):  # times n_beta: an error of 0.1 or 0.03
        found = estimate(
            1 + (value + draws - draws.mean()) / 10, baseline=1.0, baseline_error=baseline_error, n_beta=10.0,
            gamma=1.0, step_size=0.1, burn_in=0, excess=np.full(4, 0.04),
        )  # fmt: skip
        assert found.equilibrated == is_hidden
        note = "steps of 0.1 add up to 0.04, less than half of the standard error"
        assert (note in found.notes) == is_hidden


def test_acceptance_is_that_of_chains_that_did_not_diverge() -> None:
    draws = 5 + autoregressive(0.5, 4, 1000, 2)
    rest: dict[str, Any] = {"baseline": 0.0, "n_beta": 1.0, "gamma": 1.0, "step_size": 0.1, "burn_in": 0}
    assert estimate(draws, acceptance=np.array([0.1, 0.2, 0.3, 0.4]), **rest).equilibrated
    low = estimate(draws, acceptance=np.array([0.1, 0.1, 0.3, 0.1]), **rest)
    assert low.acceptance == pytest.approx(0.15)
    assert low.reasons == ["acceptance 0.15 is below 0.2: take a smaller step_size"]
    draws[0] = np.nan
    assert estimate(draws, acceptance=np.array([0.0, 0.1, 0.4, 0.4]), **rest).acceptance == pytest.approx(0.3)


def test_constant_losses_are_no_estimate() -> None:
    stuck = judged(np.full((4, 100), 5.0))
    assert not stuck.equilibrated and stuck.stuck == 4 and len(stuck.reasons) == 1
    draws = 5 + autoregressive(0.5, 4, 1000, 2)
    draws[1] = draws.mean()
    assert any(reason.startswith("1 of 4 chains have one loss") for reason in judged(draws).reasons)


def test_a_format_is_of_the_value_and_refuses_as_float_does() -> None:
    settled = judged(5 + autoregressive(0.5, 4, 1000, 2))
    assert f"{settled:.3f}" == f"{settled.value:.3f}" and f"{settled}" == str(settled)
    unsettled = judged(5 + autoregressive(0.5, 1, 1000, 7))
    assert f"{unsettled}".startswith("LLC not equilibrated")
    with pytest.raises(UserError, match="one chain cannot disagree"):
        f"{unsettled:.3f}"
