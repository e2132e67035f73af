"""Does ``detect`` find planted transitions, and only those?"""

import importlib
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from epochal.analysis import detect
from epochal.core.values.errors import UserError
from tests.analysis.curves.known import LOGIT_SPAN, Array, generator, logistic, wander

LINEAR = np.arange(120) * 50.0
LOG = np.unique(np.concatenate([[0.0], np.rint(np.geomspace(1, 1e5, 90))]))


def too_many(rate: float, n: int) -> int:
    """A count that n draws at ``rate`` reach with probability below 1e-3."""
    return int(binom.ppf(1 - 1e-3, n, rate)) + 1


def grokking(steps: Array, midpoint: float, width_in_log: float, rng: np.random.Generator) -> Array:
    """Validation accuracy modulo 97 on 5000 pairs: chance with a little noise, a rise, then exactly 1."""
    curve = logistic(np.log1p(steps), 1 / 97, 1.0, np.log1p(midpoint), width_in_log)
    curve += 0.01 * np.sqrt(curve * (1 - curve)) * rng.standard_normal(len(steps))
    return np.asarray(np.rint(5000 * np.clip(curve, 0, 1)) / 5000)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("width", [0.2, 4.0, 30.0])
def test_a_planted_transition_is_found_where_it_is(width: float, sign: int) -> None:
    rng = generator(1, int(width))
    clean = logistic(LINEAR, 0.2, 0.8, 3030.0, 50 * width)
    curve = clean + 0.01 * wander(120, 0.5, rng)
    event = detect(LINEAR, curve if sign > 0 else 1 - curve, kind="accuracy", seed=3)
    assert event.found
    assert event.p <= 0.05
    # The information on a midpoint in noise of long-run variance 3 * .01^2 gives its sd; four of them. A
    # narrow one is known to a record interval.
    sd = 50 * 0.01 * math.sqrt(3 * 6 * width / LOGIT_SPAN) / 0.6
    assert event.step == pytest.approx(3030, abs=max(50, 4 * sd))
    assert event.low <= event.step <= event.high
    assert math.copysign(1, event.height) == sign
    # The mean of 40 records of AR(.5) noise: sd .01 * sqrt(3 / 40); both levels, four sd.
    assert abs(event.height) == pytest.approx(0.6, abs=4 * 0.01 * math.sqrt(2 * 3 / 40) + 0.03 * (width > 20))


def test_a_wide_transition_has_its_width() -> None:
    curve = logistic(LINEAR, 0.2, 0.8, 3000.0, 1000.0) + 0.002 * generator(2).standard_normal(120)
    event = detect(LINEAR, curve, kind="accuracy")
    # Information about log width at this noise: sd about .004 in a width of 20 records; six of them.
    assert event.width == pytest.approx(1000, rel=0.025)
    assert event.onset == pytest.approx(2500, abs=25)
    assert event.end == pytest.approx(3500, abs=25)
    assert event.censored == "none"


def test_a_step_is_known_up_to_its_record_interval() -> None:
    event = detect(np.arange(20), [0] * 12 + [1] * 8, kind="accuracy")
    assert (event.censored, event.low, event.high, event.step) == ("interval", 11, 12, 11.5)
    assert (event.onset, event.end, event.width) == (11, 12, 1)
    assert event.height == pytest.approx(1)


@pytest.mark.parametrize(("steps", "width"), [(LOG, 0.8), (LOG, 0.01), (np.arange(300) * 100.0, 0.1)])
def test_grokking_with_a_noiseless_end(steps: Array, width: float) -> None:
    event = detect(steps, grokking(steps, 8000.0, width, generator(4)), kind="accuracy")
    assert event.found
    assert event.low <= 8000 <= event.high
    assert event.height == pytest.approx(96 / 97, abs=0.02)
    # No longer than a width or two records, whichever is more.
    gap = float(np.diff(steps)[np.searchsorted(steps, 8000) - 1])
    assert event.high - event.low <= max(8000 * width, 2 * gap)


def test_a_direction_asks_for_one_sign_only() -> None:
    """The lesser of two changes, by its name."""
    curve = logistic(LINEAR, 0.8, 0.4, 2030.0, 200.0) + logistic(LINEAR, 0, 0.3, 4030.0, 200.0)
    curve += 0.01 * wander(120, 0.5, generator(15))
    fall = detect(LINEAR, curve, kind="accuracy", direction="fall")
    rise = detect(LINEAR, curve, kind="accuracy", direction="rise")
    assert fall.step == pytest.approx(2030, abs=100) and fall.height < 0
    assert rise.step == pytest.approx(4030, abs=100) and rise.height > 0
    only_fall = logistic(LINEAR, 0.8, 0.2, 3030.0, 200.0) + 0.01 * generator(16).standard_normal(120)
    assert not detect(LINEAR, only_fall, kind="accuracy", direction="rise").found
    assert not detect(LINEAR, 1 - only_fall, kind="accuracy", direction="fall").found


@pytest.mark.parametrize("phi", [0.0, 0.9])
def test_a_wide_ramp_is_told_from_two_drifts(phi: float) -> None:
    """A third of all records wide, in little noise: a coarse grid would draw it worse than drifts do."""
    found = 0
    for i in range(10):
        curve = logistic(LINEAR, 0.3, 0.7, 3030.0, 2000.0) + 0.005 * wander(120, phi, generator(17, i))
        found += detect(LINEAR, curve, kind="accuracy", seed=i).found
    assert found >= 8


def test_a_loss_is_read_on_the_log_scale() -> None:
    log_loss = logistic(LINEAR, 0.7, -6.0, 3000.0, 500.0) + 0.05 * generator(5).standard_normal(120)
    event = detect(LINEAR, np.exp(log_loss), kind="positive")
    # Fisher information: .05 * 50 * sqrt(6 * 10 / LOGIT_SPAN) / 6.7 = 1.4 steps; four of them.
    assert event.step == pytest.approx(3000, abs=5.6)
    assert event.height == pytest.approx(-6.7, abs=0.1)


def test_an_early_transient_hides_no_later_change() -> None:
    """The largest single change of this curve lies in its first records; its transition is at 3500."""
    t = LINEAR / 50
    curve = 1 + np.exp(-t / 3) - logistic(t, 0, 0.5, 70.0, 8.0) + 0.01 * wander(120, 0.5, generator(6))
    assert np.abs(np.diff(curve)).argmax() < 5
    event = detect(LINEAR, curve, kind="real")
    assert event.found
    assert event.step == pytest.approx(3500, abs=150)
    assert event.height == pytest.approx(-0.5, abs=0.1)


@pytest.mark.parametrize("phi", [0.0, 0.9])
def test_the_interval_covers(phi: float) -> None:
    n, misses = 40, 0
    for i in range(n):
        rng = generator(7, i)
        true = rng.uniform(2500, 3500)
        curve = logistic(LINEAR, 0.2, 0.8, true, 400.0) + 0.02 * wander(120, phi, rng)
        event = detect(LINEAR, curve, kind="real", seed=i)
        misses += not event.low <= true <= event.high
    assert misses < too_many(0.07, n)


@pytest.mark.parametrize("num_records", [31, 61, 100])
def test_a_rise_that_is_lost_again_is_one_event_with_an_interval_of_its_own(num_records: int) -> None:
    steps = np.linspace(0, 3000, num_records)
    gap = steps[1]
    curve = logistic(steps, 0.2, 0.9, 1000.0, 10.0) - logistic(steps, 0, 0.7, 2000.0, 10.0)
    for i in range(3):
        values = np.clip(curve + 0.02 * generator(30, i).standard_normal(num_records), 0, 1)
        event = detect(steps, values, kind="accuracy", seed=i)
        true = 1000 if event.height > 0 else 2000
        assert event.low <= true <= event.high
        # To a record interval or two on either side; the other change is a third of the records away.
        assert true - 3 * gap <= event.low <= event.high <= true + 3 * gap


NO_TRANSITION = {
    "constant, AR(.5)": lambda t, noise: 0.5 + 0 * t,
    "drift": lambda t, noise: 0.3 + 0.3 * t,
    "saturating drift": lambda t, noise: 0.3 + 0.3 * (1 - np.exp(-3 * t)),
    "late growth": lambda t, noise: 0.2 + 0.6 * t**4,
    "early transient": lambda t, noise: 0.7 - 0.5 * np.exp(-25 * t),
}


@pytest.mark.parametrize("name", NO_TRANSITION)
def test_false_alarms_keep_the_level(name: str) -> None:
    n = 40
    t = np.linspace(0, 1, 120)
    alarms = 0
    for i in range(n):
        curve = NO_TRANSITION[name](t, None) + 0.01 * wander(120, 0.5, generator(8, i))
        alarms += detect(LINEAR, curve, kind="accuracy", min_height=0.0, seed=i).found
    assert alarms < too_many(0.07, n)


@pytest.mark.parametrize("phi", [0.0, 0.95])
def test_slow_noise_keeps_the_level(phi: float) -> None:
    n = 60
    alarms = 0
    for i in range(n):
        curve = 0.5 + 0.02 * wander(120, phi, generator(9, i))
        alarms += detect(LINEAR, curve, kind="accuracy", min_height=0.0, seed=i).found
    assert alarms < too_many(0.07, n)


def test_a_smaller_change_than_min_height_is_none() -> None:
    curve = logistic(LINEAR, 0.5, 0.56, 3000.0, 10.0) + 0.001 * generator(10).standard_normal(120)
    assert detect(LINEAR, curve, kind="accuracy", min_height=0.05).found
    event = detect(LINEAR, curve, kind="accuracy")
    assert not event.found
    assert "min_height" in event.reason
    assert event.p <= 0.05


def test_trials_are_a_floor_for_the_noise() -> None:
    curve = np.where(LINEAR < 3000, 0.5, 0.6)
    assert detect(LINEAR, curve, kind="accuracy", min_height=0.05).found
    assert not detect(LINEAR, curve, kind="accuracy", min_height=0.05, trials=5).found


@pytest.mark.parametrize("length", [1, 2, 8])
def test_a_spike_is_no_transition(length: int) -> None:
    curve = 0.5 + 0.01 * generator(11).standard_normal(120)
    curve[60 : 60 + length] += 0.3
    assert not detect(LINEAR, curve, kind="accuracy").found


@pytest.mark.parametrize("phi", [0.0, 0.9])
def test_a_spike_that_decays_is_no_transition(phi: float) -> None:
    age = np.arange(200) - 90
    values = 0.4 + np.where(age >= 0, 0.4 * np.exp(-np.maximum(age, 0) / 5), 0)
    for i in range(4):
        event = detect(np.arange(200), values + 0.01 * wander(200, phi, generator(23, i)), kind="accuracy")
        assert not event.found
        assert "a spike" in event.reason


def test_replicates_that_are_not_drawn_would_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """p with all replicates is p with those that a clear curve is content with."""
    curves = [
        logistic(LINEAR, 0.5, 0.5 + height, 3030.0, 200.0) + 0.02 * wander(120, 0.9, generator(24, i))
        for i, height in enumerate([0, 0, 0.04, 0.06, 0.2, 0.3])
    ]

    def ps() -> list[float]:
        return [detect(LINEAR, curve, kind="real", seed=1).p for curve in curves]

    fewer = ps()
    monkeypatch.setattr(importlib.import_module("epochal.analysis.curves.detect"), "FAR_ABOVE", math.inf)
    assert fewer == ps()
    assert fewer[-1] == 0.01


def test_a_spike_moves_no_transition() -> None:
    curve = logistic(LINEAR, 0.1, 0.9, 3000.0, 400.0) + 0.01 * generator(12).standard_normal(120)
    plain = detect(LINEAR, curve, kind="real")
    curve[20] = 5.0
    assert detect(LINEAR, curve, kind="real").step == pytest.approx(plain.step, abs=2)


class TestWhatAreOrderlyAnswers:
    def test_constant(self) -> None:
        event = detect(LINEAR, np.full(120, 0.3), kind="accuracy")
        assert (event.found, event.censored, event.low, event.high) == (False, "right", 5950, math.inf)
        assert event.p == 1
        assert "constant" in event.reason
        assert math.isnan(event.step)

    @pytest.mark.parametrize("n", [1, 2, 3, 5])
    def test_too_few_records(self, n: int) -> None:
        event = detect(np.arange(n) * 10, np.linspace(0, 1, n), kind="accuracy")
        assert (event.found, event.censored, event.low) == (False, "right", 0)
        assert math.isnan(event.p)
        assert "too few" in event.reason

    def test_a_rise_in_the_first_records_is_a_transient(self) -> None:
        assert not detect(LINEAR, 1 - np.exp(-LINEAR / 60), kind="accuracy").found

    def test_a_diverged_tail_is_left_out(self) -> None:
        curve = logistic(LINEAR, 0.1, 0.9, 2000.0, 200.0) + 0.01 * generator(13).standard_normal(120)
        whole = detect(LINEAR[:90], curve[:90], kind="accuracy")
        curve[90:] = np.nan
        curve[95] = np.inf
        event = detect(LINEAR, curve, kind="accuracy")
        assert replace(event, reason="") == replace(whole, reason="")
        assert "30 records" in event.reason

    def test_none_in_a_list_is_not_measured(self) -> None:
        values = [0.1] * 10 + [None] + [0.9] * 10
        event = detect(list(range(21)), values, kind="accuracy")  # type: ignore[arg-type]
        assert (event.low, event.high) == (9, 11)

    @pytest.mark.parametrize(("num_records", "scale"), [(1500, 1.0), (300, 1e6)])
    def test_long_and_large(self, num_records: int, scale: float) -> None:
        steps = np.arange(num_records) * scale
        true = 0.47 * num_records * scale
        event = detect(steps, logistic(steps, 0.0, 1.0, true, true / 10), kind="accuracy")
        assert event.step == pytest.approx(true, rel=1e-3)

    def test_a_step_in_a_long_curve_is_known_to_a_record(self) -> None:
        event = detect(np.arange(4000), np.arange(4000) > 3100, kind="accuracy")
        assert (event.low, event.high) == (3100, 3101)


class TestInvariance:
    curve = logistic(LINEAR, 0.2, 0.8, 3030.0, 300.0) + 0.02 * wander(120, 0.8, generator(14))

    def test_the_same_seed_gives_the_same_event(self) -> None:
        np.random.seed(0)  # noqa: NPY002
        first = detect(LINEAR, self.curve, kind="accuracy", seed=5)
        drawn = np.random.random()  # noqa: NPY002
        np.random.seed(0)  # noqa: NPY002
        assert first == detect(LINEAR, self.curve, kind="accuracy", seed=5)
        assert drawn == np.random.random() == np.random.RandomState(0).random()  # noqa: NPY002

    def test_turned_over(self) -> None:
        up, down = (detect(LINEAR, v, kind="real") for v in (self.curve, -self.curve))
        assert down.height == pytest.approx(-up.height, rel=1e-6)
        assert down.step == pytest.approx(up.step, rel=1e-6)
        # The critical value is the 95% quantile of 199 draws, about 7% of an interval's length.
        assert (down.low, down.high) == pytest.approx((up.low, up.high), abs=0.2 * (up.high - up.low))

    def test_in_percent(self) -> None:
        one, percent = (detect(LINEAR, v, kind="real") for v in (self.curve, 100 * self.curve))
        assert percent.height == pytest.approx(100 * one.height, rel=1e-4)
        assert (percent.step, percent.low, percent.high) == pytest.approx(
            (one.step, one.low, one.high), rel=1e-4
        )

    def test_steps_counted_in_thousands(self) -> None:
        """Exact on the step axis; log(1 + step) itself is not, but both fits answer for the same curve."""
        one, thousand = (detect(s, self.curve, kind="real") for s in (LINEAR, LINEAR * 1000))
        assert thousand.step == pytest.approx(1000 * one.step, abs=0.3 * 1000 * (one.high - one.low))


@pytest.mark.parametrize(
    ("steps", "values", "options", "words"),
    [
        ([0, 1, 2], [0.1, 0.2], {"kind": "accuracy"}, "3 entries and values has 2"),
        ([0, 2, 1], [0.1, 0.2, 0.3], {"kind": "accuracy"}, "sort the records"),
        ([0, 1, 1], [0.1, 0.2, 0.3], {"kind": "accuracy"}, "step 1 repeats"),
        ([-1, 0], [0.1, 0.2], {"kind": "accuracy"}, "at least 0"),
        ([0, np.nan], [0.1, 0.2], {"kind": "accuracy"}, "needs its step"),
        ([0, 1], [0.1, 0.2], {"kind": "acuracy"}, "did you mean 'accuracy'"),
        ([0, 1], [10, 97.5], {"kind": "accuracy"}, "values / 100"),
        ([0, 1], [-0.5, 0.5], {"kind": "accuracy"}, "kind='real'"),
        ([0, 1], [1.0, 0.0], {"kind": "positive"}, "step 1 is 0"),
        ([0, 1], [np.nan, np.inf], {"kind": "real"}, "nothing was measured"),
        ([], [], {"kind": "real"}, "no records"),
        ([[0, 1]], [[0, 1]], {"kind": "real"}, "shape"),
        (["a"], [1], {"kind": "real"}, "must be numbers"),
        ([0, 1], [1, 2], {"kind": "real", "trials": 10}, "kind='accuracy' only"),
        ([0, 1], [0, 1], {"kind": "accuracy", "trials": 0}, "trials=0"),
        ([0, 1], [0, 1], {"kind": "accuracy", "min_height": -1}, "min_height=-1"),
        ([0, 1], [0, 1], {"kind": "accuracy", "level": 5}, "level=5"),
        ([0, 1], [0, 1], {"kind": "accuracy", "direction": "up"}, "direction='up'"),
    ],
)
def test_bad_input_is_one_clear_line(
    steps: list[object], values: list[object], options: dict[str, object], words: str
) -> None:
    with pytest.raises(UserError) as error:
        detect(steps, values, **options)  # type: ignore[arg-type]
    assert words in str(error.value)
    assert "\n" not in str(error.value)
