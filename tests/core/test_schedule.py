"""Schedules: which steps, in which spelling."""

import numpy as np
import pytest

from epochal.core.values.schedule import Schedule


def test_every_k_keeps_both_ends() -> None:
    assert Schedule(every=30).steps(100).tolist() == [0, 30, 60, 90, 100]
    assert Schedule(every=500).steps(100).tolist() == [0, 100]


def test_log_spacing_is_even_in_ratio_and_hits_powers_of_ten() -> None:
    steps = Schedule(per_decade=10).steps(1_000_000)
    assert {1, 10, 100, 1000, 10_000, 100_000, 1_000_000} <= set(steps.tolist())
    late = steps[steps >= 1000].astype(float)
    assert np.allclose(late[1:] / late[:-1], 10**0.1, rtol=1e-3)


@pytest.mark.parametrize("text", ["7", "log:3", "13+log:20"])
def test_a_longer_run_repeats_the_records_of_a_shorter_one(text: str) -> None:
    schedule = Schedule.parse(text)
    short, long = schedule.steps(1000), schedule.steps(50_000)
    assert set(short[:-1].tolist()) == {step for step in long.tolist() if step < 1000}


def test_both_is_the_union() -> None:
    both = Schedule.parse("50+log:5").steps(400)
    parts = np.union1d(Schedule.parse("50").steps(400), Schedule.parse("log:5").steps(400))
    assert both.tolist() == parts.tolist()


@pytest.mark.parametrize("text", ["50", "log:20", "50+log:20"])
def test_spelling_round_trips(text: str) -> None:
    assert str(Schedule.parse(text)) == text
    assert Schedule.parse(Schedule.parse(text)) == Schedule.parse(text)


@pytest.mark.parametrize(
    "text", ["", "0", "-5", "1.5", "log:0", "log", "50+", "50+60", "log:1+log:2", None, 2.5, True]
)
def test_anything_else_is_refused_with_what_is_allowed(text: object) -> None:
    with pytest.raises(ValueError, match="log:20"):
        Schedule.parse(text)
