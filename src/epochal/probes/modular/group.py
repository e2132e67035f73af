"""An operation as addition in a cyclic group: every table is ``i + j`` after relabelling.

``a + b`` is itself, ``a - b`` adds ``-b``, ``a * b`` and ``a / b`` over nonzero residues of a prime p add
discrete logarithms in Z_{p-1} (those of b with a minus for division). So a wave ``cos(w(i + j - k))`` is
``cos(w(a - b - c))`` for subtraction, and a multiplicative character for products.
"""

from dataclasses import dataclass
from functools import lru_cache

from epochal.core.values.errors import UserError

EXCLUDED = -1
"""In place of an element: this operand is in no group, as zero is not in that of products."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """``order`` elements; ``first[a]`` and ``second[b]`` are those of the operands, or `EXCLUDED`.

    ``table_size`` is the number of pairs in the task's whole table.
    """

    order: int
    first: tuple[int, ...]
    second: tuple[int, ...]
    table_size: int


@lru_cache(maxsize=32)
def group_of(operation: str, modulus: int) -> Group:
    """The group of ``a op b`` modulo a number.

    Raises:
        UserError: the operation is no group's, or the modulus of a product is not prime.
    """
    p = modulus
    if operation in ("+", "-"):
        sign = 1 if operation == "+" else -1
        return Group(
            order=p,
            first=tuple(range(p)),
            second=tuple(sign * b % p for b in range(p)),
            table_size=p * p,
        )
    if operation not in ("*", "/"):
        raise UserError(f"operation={operation} has no Fourier basis; this probe measures + - * /")
    logarithms = _logarithms(p)
    sign = 1 if operation == "*" else -1
    return Group(
        order=p - 1,
        first=(EXCLUDED, *logarithms),
        second=(EXCLUDED, *(sign * log % (p - 1) for log in logarithms)),
        table_size=p * p if operation == "*" else p * (p - 1),
    )


def _logarithms(p: int) -> list[int]:
    """Of 1 .. p-1 to the smallest generator of the group of nonzero residues."""
    for generator in range(1, p):
        place = {pow(generator, exponent, p): exponent for exponent in range(p - 1)}
        if len(place) == p - 1 and 0 not in place:
            return [place[value] for value in range(1, p)]
    raise UserError(
        f"the nonzero numbers modulo {p} are no cyclic group under *; this probe needs a prime modulus there"
    )
