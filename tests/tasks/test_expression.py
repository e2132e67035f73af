"""Formulas against Python's own arithmetic, and what is said of those that are none."""

import itertools
import random as python_random

import pytest
import torch

from epochal.tasks.algorithmic.expression import LONGEST, canonical, evaluate, parse
from epochal.tasks.algorithmic.operation import NAMES, OperationName, operation_of

P = 11


def value(text: str, *operands: int) -> int:
    found = evaluate(parse(text).root, operands, P)
    assert type(found) is int and 0 <= found < P
    return found


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("2ab+3", "2*a*b+3"),
        ("ab^2", "a*b**2"),
        ("(ab)^2", "(a*b)**2"),
        ("-a^2+b", "-a**2+b"),
        ("a-b-b", "a-b-b"),
        ("a-(b-a)(b+a)", "a-(b-a)*(b+a)"),
        ("a**3*b^0 - 7", "a**3*b**0-7"),
        ("a(b+1)", "a*(b+1)"),
        ("a if b odd else 2b", "a if b%2==1 else 2*b"),
        ("a if a+b even else b if a odd else 5", "a if (a+b)%11%2==0 else (b if a%2==1 else 5)"),
        ("3(a if b odd else b)+1", "3*(a if b%2==1 else b)+1"),
        ("a^1000+b", "a**1000+b"),
    ],
)
def test_a_formula_is_what_it_says(text: str, python: str) -> None:
    for a, b in itertools.product(range(P), repeat=2):
        assert value(text, a, b) == eval(python, {"a": a, "b": b}) % P


def test_quotients_leave_zero_out_where_it_is_divided_by() -> None:
    for text, places in {
        "a/b": {1}, "1/a+b": {0}, "a/(bc)": {1, 2}, "a/b^2": {1}, "a/b if b odd else a": set(),
        "a/b if b even else a": {1}, "a if b even else a/b": set(), "a/2+b": set(),
        "a/b if a odd else a": {1},
    }.items():  # fmt: skip
        assert parse(text).nonzero == places, text
        assert operation_of(text, None, P).needs_prime
    for a, b in itertools.product(range(P), range(1, P)):
        assert value("a/b", a, b) * b % P == a


def test_tensors_and_whole_numbers_agree() -> None:
    draw = python_random.Random(0)
    for _ in range(60):
        text = f"{draw.choice('ab')}^{draw.randint(0, 5)}{draw.choice('+-*')}{draw.randint(0, 99)}ab"
        text += f" if {draw.choice(['a', 'b', 'a+b'])} {draw.choice(['odd', 'even'])} else a-b"
        grid = torch.cartesian_prod(torch.arange(P), torch.arange(P)).T
        found = evaluate(parse(text).root, list(grid), P).tolist()
        assert found == [value(text, a, b) for a, b in itertools.product(range(P), repeat=2)]


def test_one_spelling() -> None:
    check = OperationName().check
    for given in ("a**2 + b", "a ^2+b", " a^2+b "):
        assert check(given) == "a^2+b"
    assert [
        check(text) for text in ("a+b", "x + y", "xy", "ab", "a*b", "x/y", "+ *")
    ] == "+ + * * * / +*".split()
    assert canonical("a/b  if b   odd else(a-b)") == "a/b if b odd else (a-b)"
    for name in NAMES:
        assert check(name) == name


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "operands none"),
        ("7", "operands none"),
        ("a+c", "operands a, c: name them a, b, c, ... without a gap, or x, y, z"),
        ("a+x", "operands a, x"),
        ("a%b", "holds '%', which is part of no formula"),
        ("a²", "holds '²'"),
        ("(a+b", "lacks a closing parenthesis"),
        ("a+b)", "cannot be read from ')' on"),
        ("a+", "ends where an operand is due"),
        ("a++b", "has '+' where an operand is due"),
        ("a^b", "has the exponent b"),
        ("a^-1b", "has the exponent -"),
        ("a^2^3+b", "cannot be read from '^' on"),
        ("a^9999b", "has the exponent 9999"),
        ("a/bc", "is ambiguous at 'c' after a quotient"),
        ("a/(b+1)", "divides by something that may be 0"),
        ("a if b", "asks neither for odd nor for even"),
        ("a if b odd", "says what it is if, but not else"),
        ("a" * (LONGEST + 1), "more than 120"),
        ("sotr", "did you mean 'sort'?"),
        ("__import__('os')", "holds '_'"),
    ],
)
def test_what_is_no_formula_is_told(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        OperationName().check(text)
    assert problem in str(error.value)


def test_nested_parentheses_do_not_exhaust_the_stack() -> None:
    depth = LONGEST // 2 - 1
    assert value("(" * depth + "a" + ")" * depth, 5) == 5
