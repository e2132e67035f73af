"""The fitted transition and its interval, against what is planted and what an oracle knows."""

from dataclasses import replace

import numpy as np
import pytest

from epochal.analysis.curves.answer import as_event
from epochal.analysis.curves.curve import as_curve
from epochal.analysis.curves.estimate import Place, Problem, Transition, fit_transition
from epochal.analysis.curves.interval import midpoint_interval
from tests.analysis.curves.known import Array, generator, logistic, wander

STEPS = np.arange(0.0, 6000.0, 50.0)
PLACE = Place(axis="linear", midpoint=2900.0, width=300.0)


def problem(values: Array) -> Problem:
    return Problem(steps=STEPS, values=values, drift=STEPS / STEPS[-1], is_proportion=False, trials=None)


def fitted(values: Array, width: float = 300.0) -> Transition:
    return fit_transition(problem(values), Place(axis="linear", midpoint=2900.0, width=width))


@pytest.mark.parametrize("axis", ["linear", "log"])
def test_without_noise_the_curve_is_returned(axis: str) -> None:
    x = STEPS if axis == "linear" else np.log1p(STEPS)
    midpoint, width = (3030.0, 700.0) if axis == "linear" else (np.log1p(3030.0), 0.5)
    got = fitted(logistic(x, 0.2, 0.9, midpoint, width))
    assert got.place.axis == axis
    assert got.place.midpoint == pytest.approx(midpoint, rel=1e-4)
    assert got.place.width == pytest.approx(width, rel=1e-3)
    assert got.height == pytest.approx(0.7, rel=1e-3)
    assert got.nuisance.shape[1] == 1


def test_noise_of_one_level_only() -> None:
    noise = generator(1).standard_normal(120) * np.where(STEPS < 3000, 0.05, 0.002)
    got = fitted(logistic(STEPS, 0.0, 1.0, 3000.0, 300.0) + noise)
    scale = np.hypot(got.models.slow[got.noise.best], got.models.fast[got.noise.best])
    assert scale[0] > 3 * scale[-1]


def test_within_a_narrow_transition_the_noise_is_that_of_a_sample() -> None:
    """Three records of 120 cannot say that p (1 - p) is larger there: .25 against .09 on either side."""
    p = logistic(STEPS, 0.1, 0.9, 3010.0, 150.0)
    for i in range(8):
        values = generator(5, i).binomial(100, p) / 100
        got = fit_transition(replace(problem(values), is_proportion=True), PLACE)
        sd = np.hypot(got.models.slow, got.models.fast) * np.sqrt(got.noise.variance)[:, None]
        inside, outside = got.noise.weight @ sd[:, [60, 10]] ** 2
        # The fitted midpoint need not be on a record; the largest p (1 - p) is still above .2.
        assert 0.2 / 0.09 * 0.8 < inside / outside < 0.25 / 0.09 * 1.2
    # A wide one says so, where its noise is another.
    even = logistic(STEPS, 0.1, 0.9, 3010.0, 2000.0) + 0.02 * generator(6).standard_normal(120)
    got = fit_transition(replace(problem(even), is_proportion=True), PLACE)
    sd = np.hypot(got.models.slow, got.models.fast)[got.noise.best]
    assert sd[60] == pytest.approx(sd[10])


def test_an_undecided_axis_is_named() -> None:
    noisy = logistic(STEPS, 0.2, 0.8, 3000.0, 500.0) + 0.03 * wander(120, 0.5, generator(2))
    assert fitted(noisy).rival is not None
    clear = logistic(STEPS, 0.2, 0.8, 3000.0, 1500.0) + 0.001 * generator(3).standard_normal(120)
    assert fitted(clear).rival is None


@pytest.mark.parametrize(("behind", "left"), [(0.0, 1.0), (3.0, 0.5), (4.0, 0.0)])
def test_the_other_axis_counts_by_what_its_likelihood_leaves(behind: float, left: float) -> None:
    """Where -2 log likelihood is a parabola on either axis and may rise by 4: sqrt(4 - behind) of sqrt(4)."""
    values = logistic(STEPS, 0.2, 0.8, 3000.0, 500.0) + 0.03 * wander(120, 0.5, generator(2))
    got = fitted(values)
    place = replace(got.place, axis="linear", midpoint=3000.0, width=500.0)
    rival = Place(axis="log", midpoint=float(np.log1p(3100.0)), width=0.2)
    got = replace(got, place=place, rival=rival, behind=behind)
    event = as_event(as_curve(STEPS, values, "real"), got, 2960.0, 3040.0, 0.01)
    assert event.low == 2960
    assert event.high == pytest.approx(3100 + 40 * left)


def test_intervals_are_not_padded() -> None:
    """Median length over 15 curves, at most 1.5 times that of 2 * 1.96 standard errors under known noise."""
    width, sd = 500.0, 0.02
    g = logistic(STEPS, 0.0, 1.0, 3000.0, width)
    slope = g * (1 - g) * 2 * np.log(9) / width
    design = np.column_stack([np.ones(120), g, 0.6 * slope, slope * (STEPS - 3000) / width])
    for phi in (0.0, 0.9):
        covariance = sd**2 * phi ** np.abs(np.subtract.outer(np.arange(120), np.arange(120)))
        error = np.sqrt(np.linalg.inv(design.T @ np.linalg.solve(covariance, design))[2, 2])
        lengths = []
        for i in range(15):
            rng = generator(4, i)
            values = 0.2 + 0.6 * g + sd * wander(120, phi, rng)
            low, high = midpoint_interval(
                problem(values), fitted(values), confidence=0.95, num_draws=99, generator=rng
            )
            lengths.append(high - low)
        assert np.median(lengths) < 1.5 * 2 * 1.96 * error
        assert np.median(lengths) > 2 * 1.96 * error / 1.5
