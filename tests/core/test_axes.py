"""The grammar of values."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.core.values.axes import compact, expand, fraction, split_zip


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("3", ["3"]),
        ("1,2, 5", ["1", "2", "5"]),
        ("0:5", ["0", "1", "2", "3", "4"]),
        ("5:0x", ["5:0x"]),
        ("0:10:4", ["0", "4", "8"]),
        ("0.3:0.8:0.1", ["0.3", "0.4", "0.5", "0.6", "0.7"]),
        ("0:3,10,20:22", ["0", "1", "2", "10", "20", "21"]),
        ("log(1e-4,1e-2,3)", ["0.0001", "0.001", "0.01"]),
    ],
)
def test_numeric_texts(text: str, values: list[str]) -> None:
    assert expand(text, numeric=True) == values


def test_text_fields_know_no_ranges() -> None:
    assert expand("0:5", numeric=False) == ["0:5"]
    assert expand("+,-", numeric=False) == ["+", "-"]


@pytest.mark.parametrize(
    "text", ["5:0", "0:5:0", "0:1:-1", "0:10000000", "1,,2", "log(0,1,5)", "log(1,10,1)"]
)
def test_impossible_texts_say_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|needs|more than"):
        expand(text, numeric=True)


def test_fractions_are_numbers() -> None:
    assert fraction("8/255") == 8 / 255 and fraction(" -1.5e1 / 3 ") == -5 and fraction("8") is None
    assert fraction("1/2/3") is None and fraction("a/b") is None
    with pytest.raises(ValueError, match="divides by 0; write a fraction such as 8/255"):
        fraction("8/0")


def test_log_spacing_is_even_in_ratio_with_exact_ends() -> None:
    values = [float(value) for value in expand("log(3e-5,0.7,9)", numeric=True)]
    assert values[0] == 3e-5 and values[-1] == 0.7
    ratios = [math.log(b / a) for a, b in itertools.pairwise(values)]
    assert max(ratios) - min(ratios) < 1e-4


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=30))
def test_compact_and_expand_are_inverse(values: list[int]) -> None:
    assert [int(value) for value in expand(compact(values), numeric=True)] == values


@given(st.lists(st.floats(1e-8, 1e8), min_size=1, max_size=10))
def test_compact_keeps_every_digit_of_a_number(values: list[float]) -> None:
    assert [float(value) for value in expand(compact(values), numeric=True)] == values


def test_zip() -> None:
    assert split_zip("zip(x=1,2,y=a,b)") == [("x", "1,2"), ("y", "a,b")]
    assert split_zip("zip(x=0:3, y=log(1,10,3))") == [("x", "0:3"), ("y", "log(1,10,3)")]
    assert split_zip("1,2") is None
    for text in ("zip()", "zip(x=1,2)", "zip(1,2)"):
        with pytest.raises(ValueError, match="zip"):
            split_zip(text)
