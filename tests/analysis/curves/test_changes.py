"""Shapes and several transitions: planted ones are named, and nothing is made of noise."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from epochal.analysis import detect_all
from epochal.analysis.curves.changes import num_turns, returns
from epochal.analysis.curves.curve import as_curve
from epochal.core.values.changes import Excursion
from epochal.core.values.event import Event
from tests.analysis.curves.known import Array, generator, logistic, wander

T = 150
STEPS = np.arange(T) * 100.0
t = np.arange(T, dtype=np.float64)


def spikes(starts: list[int]) -> Array:
    """Sudden, and back over six records."""
    values = np.full(T, 0.4)
    for s in starts:
        values[s : s + 8] += 0.4 * np.exp(-np.arange(8) / 2)
    return values


SHAPES = {
    "none": np.full(T, 0.5),
    "step": logistic(t, 0.3, 0.6, 80.5, 0.5),
    "ramp": logistic(t, 0.3, 0.7, 70.0, 20),
    "drift": 0.3 + 0.4 * t / T,
    "spike": np.where(t == 60, 0.9, 0.4),
    "oscillation": 0.5 + 0.1 * np.sin(2 * np.pi * 8 * t / T),
}


@pytest.mark.parametrize("phi", [0.0, 0.9])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_planted_shape_is_named(shape: str, phi: float) -> None:
    curve = SHAPES[shape] + 0.01 * wander(T, phi, generator(1))
    found = detect_all(STEPS, curve, kind="accuracy")
    assert found.shape == shape
    assert bool(found.events) == (shape in ("step", "ramp"))
    assert bool(found.excursions) == (shape == "spike")


def test_repeated_spikes_are_an_oscillation_and_no_transition() -> None:
    starts = [20, 44, 70, 95, 121]
    found = detect_all(STEPS, spikes(starts) + 0.01 * generator(2).standard_normal(T), kind="accuracy")
    assert (found.shape, found.events) == ("oscillation", ())
    assert [e.first / 100 for e in found.excursions if e.height > 0.2] == pytest.approx(starts, abs=2)


@pytest.mark.parametrize("phi", [0.0, 0.9])
def test_two_decaying_spikes_are_two(phi: float) -> None:
    """However many parts each is found in."""
    values = np.full(200, 0.4)
    for s in (60, 130):
        values[s : s + 12] += 0.4 * np.exp(-np.arange(12) / 3)
    for i in range(5):
        curve = values + 0.01 * wander(200, phi, generator(8, i))
        found = detect_all(np.arange(200), curve, kind="accuracy", seed=i)
        assert (found.shape, found.events) == ("spike", ())
        assert [e.first for e in found.excursions] == [60, 130]


def test_three_records_between_excursions_are_a_return() -> None:
    curve = as_curve(np.arange(20), np.zeros(20), "real")
    parts = [(3, 4, 0.5), (7, 7, 0.7), (11, 12, 0.2), (13, 13, -0.4), (14, 14, -0.6)]
    found = returns(curve, [Excursion(first=a, last=b, height=h) for a, b, h in reversed(parts)])
    assert [(e.first, e.last, e.height) for e in found] == [(3, 7, 0.7), (11, 12, 0.2), (13, 14, -0.6)]


def test_a_period_is_known() -> None:
    curve = SHAPES["oscillation"] + 0.01 * generator(3).standard_normal(T)
    # Eight cycles over all records; a frequency is known to one part in the number of cycles.
    assert detect_all(STEPS, curve, kind="accuracy").period == pytest.approx(100 * T / 8, rel=1 / 16)


def test_ungrokking_is_a_rise_and_a_fall() -> None:
    curve = logistic(t, 0.2, 0.8, 45.4, 6) - logistic(t, 0, 0.5, 110.4, 12)
    found = detect_all(STEPS, curve + 0.01 * wander(T, 0.5, generator(4)), kind="accuracy")
    assert [e.step / 100 for e in found.events] == pytest.approx([45.4, 110.4], abs=1)
    assert [e.height for e in found.events] == pytest.approx([0.6, -0.5], abs=0.03)
    assert all(e.low <= s * 100 <= e.high for e, s in zip(found.events, (45.4, 110.4), strict=True))


@pytest.mark.parametrize("width", [10.0, 100.0])
def test_a_full_loss_is_a_second_event(width: float) -> None:
    steps = np.linspace(0, 3000, 61)
    curve = logistic(steps, 0.2, 0.9, 1000.0, width) - logistic(steps, 0, 0.7, 2000.0, width)
    for i in (3, 4, 5):
        found = detect_all(steps, curve + 0.02 * generator(7, i).standard_normal(61), kind="accuracy")
        assert [e.step for e in found.events] == pytest.approx([1000, 2000], abs=50)
        assert [e.height for e in found.events] == pytest.approx([0.7, -0.7], abs=0.05)
        for event, true in zip(found.events, (1000, 2000), strict=True):
            assert true - 100 <= event.low <= true <= event.high <= true + 100


def test_a_rollback_is_three_transitions() -> None:
    curve = logistic(t, 0.2, 0.8, 30.4, 4) - logistic(t, 0, 0.5, 80.5, 0.5) + logistic(t, 0, 0.5, 115.4, 4)
    found = detect_all(STEPS, curve + 0.01 * generator(5).standard_normal(T), kind="accuracy")
    assert [e.step / 100 for e in found.events] == pytest.approx([30.4, 80.5, 115.4], abs=1)
    assert found.events[1].censored == "interval"


def test_a_spike_before_a_rise_is_an_excursion_beside_it() -> None:
    curve = logistic(t, 0.2, 0.8, 100.4, 8) + np.where((t >= 40) & (t < 44), 0.3, 0)
    found = detect_all(STEPS, curve + 0.01 * generator(6).standard_normal(T), kind="accuracy")
    (event,), (excursion,) = found.events, found.excursions
    assert event.step == pytest.approx(10_040, abs=100)
    assert (excursion.first, excursion.last) == (4000, 4300)
    assert excursion.height == pytest.approx(0.3, abs=0.04)


def test_nothing_is_made_of_slow_noise() -> None:
    """The probability of any transition, drift or oscillation is at most .05 over 30 curves of AR(.9)."""
    n = 30
    curves = (0.5 + 0.02 * wander(60, 0.9, generator(7, i)) for i in range(n))
    named = [
        detect_all(np.arange(60), c, kind="real", min_height=0.0, seed=i).shape for i, c in enumerate(curves)
    ]
    assert sum(name != "none" for name in named) <= binom.ppf(1 - 1e-3, n, 0.06)


@pytest.mark.parametrize(("num_records", "values"), [(3, [0.1, 0.2, 0.9]), (50, [0.5] * 50)])
def test_too_few_or_equal_records_have_no_shape(num_records: int, values: list[float]) -> None:
    found = detect_all(np.arange(num_records), values, kind="accuracy")
    assert (found.shape, found.events, found.excursions) == ("none", (), ())
    assert math.isnan(found.period)


def test_turns_count_comparable_heights_only() -> None:
    def event(height: float) -> Event:
        nan = math.nan
        return Event(
            found=True, step=nan, low=nan, high=nan, width=nan, onset=nan, end=nan,
            height=height, censored="none", reason="", p=nan,
        )  # fmt: skip

    assert num_turns(tuple(event(h) for h in (1.0, -0.8, 0.1, -0.2, 0.9))) == 2
    assert num_turns(()) == 0
