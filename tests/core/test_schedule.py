"""Schedules: which steps, in which spelling."""

import numpy as np
import pytest

from epochal.core.values.schedule import Schedule


def test_every_k_keeps_both_ends() -> None:
    assert Schedule(every=30).steps(100, 1).tolist() == [0, 30, 60, 90, 100]
    assert Schedule(every=500).steps(100, 1).tolist() == [0, 100]


def test_log_spacing_is_even_in_ratio_and_hits_powers_of_ten() -> None:
    steps = Schedule(per_decade=10).steps(1_000_000, 1)
    assert {1, 10, 100, 1000, 10_000, 100_000, 1_000_000} <= set(steps.tolist())
    late = steps[steps >= 1000].astype(float)
    assert np.allclose(late[1:] / late[:-1], 10**0.1, rtol=1e-3)


@pytest.mark.parametrize("text", ["7", "log:3", "13+log:20"])
def test_a_longer_run_repeats_the_records_of_a_shorter_one(text: str) -> None:
    schedule = Schedule.parse(text)
    short, long = schedule.steps(1000, 1), schedule.steps(50_000, 1)
    assert set(short[:-1].tolist()) == {step for step in long.tolist() if step < 1000}


def test_both_is_the_union() -> None:
    both = Schedule.parse("50+log:5").steps(400, 1)
    parts = np.union1d(Schedule.parse("50").steps(400, 1), Schedule.parse("log:5").steps(400, 1))
    assert both.tolist() == parts.tolist()


def test_equal_ratios_are_those_of_numpy() -> None:
    """Of grok-adversarial: 50 numbers up to 10^5.7, cut to 500,000, of which 47 differ; to one step."""
    published = np.unique(np.logspace(0, 5.7, 50).astype(int).clip(0, 500_000))
    steps = Schedule.parse("log(1,501187,50)").steps(500_000, 195)
    assert len(published) == 47 and len(steps) == 48
    assert np.abs(steps[1:] - published).max() <= 1 and steps[-1] == 500_000
    assert str(Schedule.parse("7+log( 1, 100,3)")) == "7+log(1,100,3)"
    assert Schedule.parse("log(10,1000,3)").steps(5000, 1).tolist() == [0, 10, 100, 1000, 5000]
    for text in ("log(0,10,3)", "log(10,1,3)", "log(1,10,1)", "log(1,10,3)+log(1,20,3)", "log(1,10)"):
        with pytest.raises(ValueError, match="a whole number of steps"):
            Schedule.parse(text)


def test_epochs_are_as_long_as_the_program_says() -> None:
    assert Schedule.parse("2ep").steps(50, 10).tolist() == [0, 20, 40, 50]
    assert Schedule.parse("2ep").steps(50, 3).tolist() == [*range(0, 50, 6), 50]
    both = Schedule.parse("2ep+log:1").steps(120, 50).tolist()
    assert both == [0, 1, 10, 100, 120]
    assert Schedule.parse("7+2ep").steps(30, 10).tolist() == [0, 7, 14, 20, 21, 28, 30]


@pytest.mark.parametrize("text", ["50", "50ep", "log:20", "50+log:20", "2ep+log:10", "7+2ep+log:3"])
def test_spelling_round_trips(text: str) -> None:
    assert str(Schedule.parse(text)) == text
    assert Schedule.parse(Schedule.parse(text)) == Schedule.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-5",
        "1.5",
        "log:0",
        "log",
        "50+",
        "50+60",
        "log:1+log:2",
        "2ep+3ep",
        "0ep",
        "ep",
        "log:2ep",
        "1.5ep",
        None,
        2.5,
        True,
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(text: object) -> None:
    with pytest.raises(ValueError, match="log:20"):
        Schedule.parse(text)
