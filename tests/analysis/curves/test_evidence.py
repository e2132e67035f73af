"""Shapes and their likelihood ratio, against definitions and dense algebra."""

import numpy as np
import pytest

from epochal.analysis.curves.drift import drifts
from epochal.analysis.curves.evidence import PHIS, evidence, precision, shapes_of
from epochal.analysis.curves.logistic import AXES, grid, on_axis, rise, to_step
from epochal.analysis.curves.spikes import short_stay, without_spikes
from tests.analysis.curves.known import Array, generator, logistic, wander

STEPS = np.arange(60) * 10.0
KEY = STEPS.tobytes()


def test_width_is_from_ten_to_ninety_percent() -> None:
    x = np.array([2.0, 3.0, 4.0])
    assert rise(x, np.array([3.0]), np.array([2.0]))[0] == pytest.approx([0.1, 0.5, 0.9])


def test_width_zero_is_a_step() -> None:
    assert rise(np.arange(4.0), np.array([1.5]), np.array([0.0]))[0].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("axis", AXES)
def test_an_axis_keeps_step_zero_and_returns(axis: str) -> None:
    for step in (0.0, 1.0, 1e6):
        assert to_step(float(on_axis(np.array(step), axis)), axis) == pytest.approx(step)  # type: ignore[arg-type]


def test_the_grid_shows_both_levels() -> None:
    """At least three records on either side of each midpoint."""
    bases = grid(KEY).bases
    assert ((bases < 0.5).sum(axis=1) >= 3).all()
    assert ((bases > 0.5).sum(axis=1) >= 3).all()


def test_drifts_run_from_zero_to_one_and_change_at_an_edge() -> None:
    shapes = drifts(KEY)
    assert shapes[:, 0] == pytest.approx(0, abs=1e-12)
    assert shapes[:, -1] == pytest.approx(1, abs=1e-12)
    assert (np.diff(shapes) >= -1e-12).all()


@pytest.mark.parametrize("phi", PHIS)
def test_precision_is_the_inverse_covariance(phi: float) -> None:
    lag = np.abs(np.subtract.outer(np.arange(7), np.arange(7)))
    covariance = phi**lag / (1 - phi**2)
    assert precision(np.eye(7), phi) @ covariance == pytest.approx(np.eye(7), abs=1e-9)


def best(curve: Array, shapes: list[Array]) -> float:
    """Log likelihood of a constant and ``shapes``, maximised over PHIS, from dense least squares."""
    T, values = len(curve), []
    for phi in PHIS:
        root = np.linalg.cholesky(precision(np.eye(T), phi)).T
        design = root @ np.column_stack([np.ones(T), *shapes])
        rest = root @ curve - design @ np.linalg.lstsq(design, root @ curve, rcond=None)[0]
        values.append(-T / 2 * np.log(rest @ rest / T + 1e-12 * (1 - phi**2)) + 0.5 * np.log(1 - phi**2))
    return float(max(values))


def test_the_likelihood_ratio_by_dense_least_squares() -> None:
    """For the shapes it chose: never above the best pair of drifts by more than these explain."""
    curve = logistic(STEPS, 0.0, 1.0, 300.0, 60.0) + 0.1 * wander(60, 0.5, generator(1))
    got = evidence(KEY, curve[:, None], 1e-12)
    known = shapes_of(KEY, np.dtype(np.float64))
    drift = known.shapes[: known.num_drifts]
    d, g = drift[got.drift[0]], grid(KEY).bases[got.logistic[0]]
    without = max(best(curve, [d, other]) for other in drift)
    assert best(curve, [d, g]) - without >= got.log_ratio[0] - 1e-6
    assert got.log_ratio[0] > 5  # a transition of ten sd
    several = evidence(KEY, np.column_stack([curve, curve[::-1], 3 * curve + 1]), 1e-12)
    assert several.log_ratio[2] == pytest.approx(got.log_ratio[0], rel=1e-6)


def test_a_drift_hidden_by_the_transition_is_chosen_anew() -> None:
    """A transient and a change: no drift stands better beside the chosen logistic than the chosen one."""
    steps = np.arange(150) * 10.0
    t = np.arange(150.0)
    clean = 0.5 * (1 - np.exp(-t / 8)) + logistic(t, 0.0, 0.2, 60.0, 6.0)
    curve = clean + 0.005 * generator(3).standard_normal(150)
    got = evidence(steps.tobytes(), curve[:, None], 1e-12)
    drift, g = drifts(steps.tobytes()), grid(steps.tobytes()).bases[got.logistic[0]]
    chosen = best(curve, [drift[got.drift[0]], g])
    assert max(best(curve, [other, g]) for other in drift) <= chosen + 2
    assert got.log_ratio[0] > 10


def test_spikes_are_mended_and_rises_untouched() -> None:
    rising = logistic(STEPS, 0.0, 1.0, 300.0, 60.0)
    assert (without_spikes(rising) == rising).all()
    spiked = rising.copy()
    spiked[[20, 40]] = 7.0
    assert without_spikes(spiked) == pytest.approx(rising, abs=0.02)


def test_a_stay_that_returns_is_told_from_a_change_that_lasts() -> None:
    noise = 0.01 * generator(2).standard_normal(60)
    step = (STEPS >= 300).astype(float)
    stay = ((STEPS >= 300) & (STEPS < 340)).astype(float)
    drift = STEPS / STEPS[-1]
    assert short_stay(stay + noise, drift, step, 1e-12) == (30, 33)
    assert short_stay(step + noise, drift, step, 1e-12) is None
