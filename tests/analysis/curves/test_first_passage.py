"""The first passage of a threshold, by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.analysis import first_passage
from epochal.core.values.errors import UserError

NAN = math.nan


@pytest.mark.parametrize(
    ("values", "sustained", "censored", "low", "high"),
    [
        ([0, 0, 1, 1], 1, "interval", 10, 20),
        ([0, 0.5, 1, 1], 1, "interval", 0, 10),  # at the threshold is passed
        ([0, 1, 0, 1, 1], 1, "interval", 0, 10),
        ([0, 1, 0, 1, 1], 2, "interval", 20, 30),
        ([1, 1, 0], 1, "left", 0, 0),
        ([1, 1, 0], 3, "right", 20, math.inf),
        ([0, 0, 0], 1, "right", 20, math.inf),
        ([0, 0, 1], 2, "right", 10, math.inf),  # not confirmed
        ([1, 1], 3, "right", 0, math.inf),
        ([0, 1, NAN, 1], 2, "interval", 0, 10),  # not measured neither makes nor breaks a stay
        ([0, NAN, 1, 1], 2, "interval", 0, 20),  # and an interval reaches over it
        ([0, 0, NAN, NAN], 1, "right", 10, math.inf),
        ([NAN, 1, 1], 1, "left", 0, 10),
    ],
)
def test_by_hand(values: list[float], sustained: int, censored: str, low: float, high: float) -> None:
    steps = np.arange(len(values)) * 10
    event = first_passage(steps, values, 0.5, sustained=sustained)
    assert (event.censored, event.low, event.high) == (censored, low, high)
    assert event.found == math.isfinite(high)
    assert math.isnan(event.p)
    assert math.isnan(event.step) != event.found
    fallen = first_passage(steps, -np.array(values), -0.5, sustained=sustained, direction="fall")
    assert (fallen.censored, fallen.low, fallen.high) == (censored, low, high)


@given(
    st.lists(st.sampled_from([0.0, 0.4, 0.5, 1.0, NAN]), min_size=1, max_size=12).filter(
        lambda v: not all(map(math.isnan, v))
    ),
    st.integers(1, 4),
)
def test_against_brute_force(values: list[float], sustained: int) -> None:
    event = first_passage(np.arange(len(values)), values, 0.5, sustained=sustained)
    measured = [(step, value) for step, value in enumerate(values) if not math.isnan(value)]
    starts = [
        i
        for i in range(len(measured) - sustained + 1)
        if all(value >= 0.5 for _, value in measured[i : i + sustained])
    ]
    assert event.found == bool(starts)
    if starts:
        assert event.high == measured[starts[0]][0]
        assert event.low == (measured[starts[0] - 1][0] if starts[0] else 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sustained": 0}, "sustained=0"),
        ({"sustained": 2.5}, "sustained=2.5"),
        ({"direction": "up"}, "'rise' or 'fall'"),
        ({"threshold": NAN}, "threshold=nan"),
    ],
)
def test_bad_options(options: dict[str, object], words: str) -> None:
    given_: dict[str, object] = {"threshold": 0.5, **options}
    with pytest.raises(UserError, match=words):
        first_passage([0, 1], [0, 1], **given_)  # type: ignore[arg-type]
