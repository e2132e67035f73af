"""A lead is one only against a placebo of the same latent."""

import math

import numpy as np
import pytest

from epochal.analysis import Course, leads
from epochal.core.values.errors import UserError

NAN = math.nan


def course(latent: np.ndarray, offset: float, width: float, noise: np.ndarray) -> Course:
    middle = latent + offset + noise
    return Course(onset=middle - width / 2, midpoint=middle, end=middle + width / 2)


def three(seed: int, ahead: float, num_runs: int = 8) -> tuple[Course, Course, Course]:
    """A, B and a placebo 150 before B; A is ``ahead`` of the placebo."""
    g = np.random.Generator(np.random.PCG64(seed))
    latent = g.normal(2000, 300, num_runs)
    noise = g.normal(0, 10, (3, num_runs))
    return (
        course(latent, -150 - ahead, 200, noise[0]),
        course(latent, 0, 100, noise[1]),
        course(latent, -150, 200, noise[2]),
    )


def test_a_lead_over_the_placebo_is_supported_with_the_sign_tests_p() -> None:
    a, b, placebo = three(0, ahead=100)
    found = leads(a, b, placebo=placebo)
    assert found.verdict == "supported"
    assert found.p == found.smallest_p == 1 / 2**8
    assert found.estimate == pytest.approx(np.median(np.subtract(b.midpoint, a.midpoint)))
    assert "onset / midpoint / end" in found.sentence


def test_what_the_link_alone_gives_is_not_supported() -> None:
    supported = 0
    for seed in range(100):
        a, b, placebo = three(seed, ahead=0)
        assert (np.asarray(a.midpoint) < np.asarray(b.midpoint)).all()
        supported += leads(a, b, placebo=placebo).verdict == "supported"
    # All eight signs and one of eight the other way: 9 of 256, standard error .018 over 100.
    assert supported / 100 < 9 / 256 + 3 * 0.019


def test_the_placebo_ahead_refutes() -> None:
    a, b, placebo = three(1, ahead=-100)
    assert leads(a, b, placebo=placebo).verdict == "refuted"


@pytest.mark.parametrize("part", ["onset", "midpoint", "end"])
def test_each_part_must_hold(part: str) -> None:
    a, b, placebo = three(2, ahead=100)
    moved = {name: np.asarray(getattr(a, name)) for name in ("onset", "midpoint", "end")}
    moved[part] = moved[part] + 500
    found = leads(Course(**moved), b, placebo=placebo)
    assert found.p == 1.0
    assert found.verdict == "refuted"


def test_a_before_the_placebo_must_also_be_before_b() -> None:
    a, b, _ = three(2, ahead=100)
    assert leads(b, a, placebo=course(np.full(8, 9000.0), 0, 100, np.zeros(8))).p == 1.0


def test_midpoints_alone_stay_undecided() -> None:
    a, b, placebo = three(3, ahead=100)
    found = leads(a.midpoint, b.midpoint, placebo=placebo.midpoint)
    assert found.p == 1 / 2**8
    assert found.verdict == "undecided"
    assert "Course" in found.sentence


def test_ties_within_a_record_and_missing_a_count_against_missing_b_for_it() -> None:
    a, b, placebo = three(4, ahead=100)
    assert leads(a, b, placebo=placebo, record_interval=50).p == 1 / 2**8
    assert leads(a, b, placebo=placebo, record_interval=400).p == 1.0

    def without(given: Course, run: int) -> Course:
        onset, midpoint, end = (np.array(t, dtype=float) for t in (given.onset, given.midpoint, given.end))
        onset[run] = midpoint[run] = end[run] = NAN
        return Course(onset=onset, midpoint=midpoint, end=end)

    assert leads(a, without(b, 0), placebo=placebo).p == 1 / 2**8
    assert leads(without(a, 0), b, placebo=placebo).p == pytest.approx(9 / 2**8)  # one of eight against
    neither = leads(without(a, 0), without(b, 0), placebo=without(placebo, 0))
    assert (neither.num_runs, neither.p) == (7, 1 / 2**7)


def test_how_many_runs_would_decide() -> None:
    a, b, placebo = three(6, ahead=100, num_runs=4)
    few = leads(a, b, placebo=placebo)  # all four in favour: 1/16
    assert (few.verdict, few.smallest_p, few.runs_needed) == ("undecided", 1 / 16, 5)
    assert "about 5 would decide" in few.sentence
    assert leads(b, a, placebo=placebo).runs_needed is None
    found = leads(*three(7, ahead=100)[:2], placebo=placebo_of_one_against(7))
    assert found.runs_needed is not None and found.runs_needed > 8


def placebo_of_one_against(seed: int) -> Course:
    """A placebo that is before A in one run of eight."""
    placebo = three(seed, ahead=100)[2]
    middle = np.array(placebo.midpoint)
    middle[0] -= 1000
    return Course(onset=middle - 100, midpoint=middle, end=middle + 100)


def test_interval_and_single_sign_test_agree() -> None:
    a, b, placebo = three(8, ahead=100, num_runs=5)
    found = leads(a, b, placebo=placebo)
    assert (found.p, found.verdict, found.level) == (1 / 32, "supported", 0.9)
    assert found.low is not None and found.low > 0


def test_unequal_runs_are_refused() -> None:
    a, b, placebo = three(5, ahead=100)
    with pytest.raises(UserError, match="same position"):
        leads(a, b, placebo=np.asarray(placebo.midpoint)[:5])
