"""What an operation is called and what it takes: everything that can be said of it without a table."""

import difflib
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from epochal.core.values.source import is_own
from epochal.tasks.algorithmic.expression import Expression, canonical, folded, parse
from epochal.tasks.algorithmic.permutations import PRODUCTS

SIGNS = ("+", "-", "*", "/")
MIXED = {
    "mix1": "a/b if b odd else a-b",
    "+*": "a+b if a even else ab",
    "+-": "a+b if a even else a-b",
}
"""Of openai/grok, as formulas."""

SEQUENCES = ("sort", "reverse", "copy")
NAMES = (*SIGNS, *MIXED, *PRODUCTS, *SEQUENCES, "parity")
_SPELLINGS = {"a+b": "+", "a-b": "-", "a*b": "*", "ab": "*", "a/b": "/"}

Kind = Literal["formula", "permutations", "sequence", "parity", "own"]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """``num_operands`` operands, each one of ``num_elements``, and ``answer_length`` elements as the answer.

    ``nonzero`` are the places of operands that are never 0. ``has_fixed_arity``: the operation itself says
    how many operands it has.
    """

    name: str
    kind: Kind
    num_operands: int
    num_elements: int
    has_fixed_arity: bool
    nonzero: frozenset[int] = frozenset()
    needs_prime: bool = False
    answer_length: int = 1
    expression: Expression | None = None

    def lowest(self, place: int) -> int:
        """The smallest value of the operand at a place: 1 where it is divided by."""
        return int(place in self.nonzero)

    def values_of(self, place: int) -> int:
        """How many values the operand at a place takes."""
        return self.num_elements - self.lowest(place)


class OperationName:
    """Annotates the text field that names an operation; gives its one spelling."""

    allowed = "+ - * /, a formula (a^2+3b) or " + " or ".join(NAMES[4:]) + " or ./FILE.py:NAME"

    def check(self, given: str) -> str:
        """The name, or the formula in its canonical spelling.

        Raises:
            ValueError: it is neither; the nearest name is offered.
        """
        if given in NAMES or is_own(given):
            return given
        try:
            text = canonical(given)
            if text in NAMES:
                return text
            parse(text)
        except ValueError as error:
            near = difflib.get_close_matches(given, NAMES, n=1) if given.isalnum() else []
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else "operation=a^2+3b is a formula, operation=sort a name"
            )
            raise ValueError(f"{error}; {hint}") from error
        # Only the commonest formulas: others that mean the same are different requests.
        as_ab = text.replace("x", "a").replace("y", "b") if "a" not in text else text
        return _SPELLINGS.get(as_ab, text)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))


@cache
def operation_of(name: str, num_operands: int | None, modulus: int) -> Operation:
    """The operation of a checked name; ``num_operands`` None is as many as it says, else two.

    Raises:
        ValueError: it cannot have so many.
    """
    asked = 2 if num_operands is None else num_operands
    if name in SIGNS:
        if asked < 2:
            raise ValueError(f"num_operands={asked} leaves nothing for operation={name}: give 2 or more")
        return _formula(name, folded(name, asked), modulus, has_fixed_arity=False)
    if name in SEQUENCES:
        return Operation(
            name=name, kind="sequence", num_operands=asked, num_elements=modulus, has_fixed_arity=False,
            answer_length=asked,
        )  # fmt: skip
    if name == "parity":
        return Operation(name=name, kind="parity", num_operands=asked, num_elements=2, has_fixed_arity=False)
    if is_own(name):
        return Operation(
            name=name, kind="own", num_operands=asked, num_elements=modulus, has_fixed_arity=False
        )
    if name in PRODUCTS:
        made = Operation(
            name=name, kind="permutations", num_operands=2, num_elements=120, has_fixed_arity=True
        )
    else:
        made = _formula(name, parse(MIXED.get(name, name)), modulus, has_fixed_arity=True)
    if num_operands not in (None, made.num_operands):
        raise ValueError(
            f"num_operands={num_operands}, but operation={name} has {made.num_operands}: "
            "leave num_operands out"
        )
    return made


def _formula(name: str, expression: Expression, modulus: int, *, has_fixed_arity: bool) -> Operation:
    for constant in expression.constants:
        if constant % modulus == 0:
            raise ValueError(f"operation={name} divides by {constant}, which is 0 modulo {modulus}")
    return Operation(
        name=name,
        kind="formula",
        num_operands=expression.num_operands,
        num_elements=modulus,
        has_fixed_arity=has_fixed_arity,
        nonzero=expression.nonzero,
        needs_prime=expression.divides,
        expression=expression,
    )
