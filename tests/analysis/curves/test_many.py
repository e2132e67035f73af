"""Many curves are each what they are alone, in one process or in two."""

import numpy as np
import pytest

from epochal.analysis import detect, detect_many
from epochal.core.values.errors import UserError
from tests.analysis.curves.known import generator, logistic, wander

STEPS = np.arange(60) * 10.0
CURVES = np.array(
    [
        logistic(STEPS, 0.2, 0.8, 300.0 + 20 * i, 40.0) * (i % 2)
        + 0.1
        + 0.01 * wander(60, 0.5, generator(1, i))
        for i in range(4)
    ]
)


def test_rows_are_what_they_are_alone_whatever_the_number_of_processes() -> None:
    progress = []
    one = detect_many(STEPS, CURVES, kind="real", seed=3, progress=lambda *done: progress.append(done))
    assert repr(one) == repr([detect(STEPS, c, kind="real", seed=3) for c in CURVES])
    assert [e.found for e in one] == [False, True, False, True]
    assert repr(detect_many(STEPS, CURVES, kind="real", seed=3, workers=2)) == repr(one)
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_malformed_row_is_one_clear_line(workers: int) -> None:
    with pytest.raises(UserError, match="did you mean percent"):
        detect_many(STEPS, 100 * np.abs(CURVES), kind="accuracy", workers=workers)
    with pytest.raises(UserError, match="one row per curve"):
        detect_many(STEPS, CURVES[0], kind="real", workers=workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_unknown_option_is_named(workers: int) -> None:
    with pytest.raises(TypeError, match="heigth"):
        detect_many(STEPS, CURVES, kind="real", workers=workers, heigth=1)  # type: ignore[call-arg]
