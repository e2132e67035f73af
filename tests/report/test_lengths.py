"""Lengths as an author gives them."""

import pytest

from epochal.core.values.errors import UserError
from epochal.report.lengths import inches, points


@pytest.mark.parametrize(
    ("text", "expected"), [("3.25in", 3.25), ("8.255 cm", 3.25), ("82.55mm", 3.25), ("234pt", 3.25)]
)
def test_every_unit_is_an_inch_in_the_end(text: str, expected: float) -> None:
    assert inches(text) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("text", ["3.25", "in", "-3in", "3,25in", "0in", "9999in", "1e3mm", "३in", "3 px"])
def test_what_is_no_length_is_one_line(text: str) -> None:
    with pytest.raises(
        UserError, match=r"^--width .*(write a number and in, cm, mm or pt|outside 0 to 40in)"
    ):
        inches(text)


def test_font_sizes_are_points() -> None:
    assert points("8") == points("8pt") == 8.0
    for text in ("0", "", "big", "900", "8px"):
        with pytest.raises(UserError, match=r"--font .* is no font size"):
            points(text)
