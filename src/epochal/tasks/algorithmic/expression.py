"""Formulas of operands as a person types them: ``x^2+y^2+xy``, ``3a^2+b``, ``a/b if b odd else a-b``.

::

    formula = sum ["if" sum ("odd" | "even") "else" formula]
    sum     = ["-"] product {("+" | "-") product}
    product = power {["*"] power | "/" power}
    power   = (number | letter | "(" formula ")") [("^" | "**") number]

Letters side by side are multiplied. Operands are the letters a, b, c, ... without a gap, or x, y, z.
Everything is computed modulo a number p, and each step reduced to 0 .. p-1, whose parity is what ``odd``
and ``even`` ask for. Values may be Python's integers or integer tensors; nothing here needs torch.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

LONGEST = 120
"""Characters of a formula; bounds the depth of the recursion."""

LARGEST_EXPONENT = 1_000
LETTERS = ("abcdefghijklmnopqrstuvwxyz", "xyz")
_WORDS = ("if", "else", "odd", "even")
_TOKEN = re.compile(r"\s*(?:([0-9]+)|(\*\*|[-+*/^()])|([A-Za-z]+))")


@dataclass(frozen=True)
class Number:
    value: int


@dataclass(frozen=True)
class Operand:
    """``place`` counts from 0."""

    place: int


@dataclass(frozen=True)
class Binary:
    """``sign`` is one of + - * /."""

    sign: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True)
class Power:
    base: "Node"
    exponent: int


@dataclass(frozen=True)
class Choice:
    """``yes`` where ``asked`` has this parity, else ``no``."""

    asked: "Node"
    is_odd: bool
    yes: "Node"
    no: "Node"


Node = Number | Operand | Binary | Power | Choice


@dataclass(frozen=True, kw_only=True)
class Expression:
    """A formula of ``num_operands`` operands. It divides by those at ``nonzero`` and by ``constants``."""

    root: Node
    num_operands: int
    nonzero: frozenset[int] = frozenset()
    constants: frozenset[int] = frozenset()
    divides: bool = False


def canonical(text: str) -> str:
    """One spelling of a formula: no spaces but around words, ``^`` for ``**``.

    Raises:
        ValueError: a character that belongs into no formula, or too many.
    """
    words = [f" {token} " if token in _WORDS else token for token in _tokens(text)]
    return " ".join("".join(words).split()).replace("**", "^")


@cache
def parse(text: str) -> Expression:
    """The expression that a formula stands for.

    Raises:
        ValueError: it is none; the message goes on from the text itself.
    """
    tokens = _tokens(text)
    names = sorted({letter for token in tokens if _is_letters(token) for letter in token})
    alphabet = next((known for known in LETTERS if "".join(names) == known[: len(names)]), None)
    if not names or alphabet is None:
        given = ", ".join(names) or "none"
        raise ValueError(f"has the operands {given}: name them a, b, c, ... without a gap, or x, y, z")
    reader = _Reader(tokens, alphabet)
    root = reader.formula()
    if reader.token:
        raise ValueError(f"cannot be read from {reader.token!r} on")
    divisors = _divisors(root, frozenset())
    return Expression(
        root=root,
        num_operands=len(names),
        nonzero=frozenset(node.place for node in divisors if isinstance(node, Operand)),
        constants=frozenset(node.value for node in divisors if isinstance(node, Number)),
        divides="/" in tokens,
    )


def folded(sign: str, num_operands: int) -> Expression:
    """``((a sign b) sign c) ...``."""
    root: Node = Operand(0)
    for place in range(1, num_operands):
        root = Binary(sign, root, Operand(place))
    nonzero = frozenset(range(1, num_operands)) if sign == "/" else frozenset[int]()
    return Expression(root=root, num_operands=num_operands, nonzero=nonzero, divides=sign == "/")


def evaluate(node: Node, operands: Sequence[Any], modulus: int) -> Any:
    """The value in 0 .. modulus - 1; quotients need a prime modulus and a divisor other than 0."""
    match node:
        case Number(value):
            return value % modulus
        case Operand(place):
            return operands[place] % modulus
        case Binary(sign, left, right):
            a, b = evaluate(left, operands, modulus), evaluate(right, operands, modulus)
            if sign == "/":
                # By Fermat's little theorem; unlike a search for the inverse it works on tensors too.
                b = _power(b, modulus - 2, modulus)
            return (a + b if sign == "+" else a - b if sign == "-" else a * b) % modulus
        case Power(base, exponent):
            return _power(evaluate(base, operands, modulus), exponent, modulus)
        case Choice(asked, is_odd, yes, no):
            parity = evaluate(asked, operands, modulus) % 2
            chosen = parity if is_odd else 1 - parity
            both = evaluate(yes, operands, modulus), evaluate(no, operands, modulus)
            return chosen * both[0] + (1 - chosen) * both[1]


def _power(base: Any, exponent: int, modulus: int) -> Any:
    """By repeated squaring: no intermediate value exceeds ``modulus`` squared."""
    value = base**0 % modulus
    while exponent:
        if exponent & 1:
            value = value * base % modulus
        base = base * base % modulus
        exponent >>= 1
    return value


def _tokens(text: str) -> list[str]:
    if len(text) > LONGEST:
        raise ValueError(f"has {len(text)} characters, more than {LONGEST}")
    tokens, place = [], 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"holds {text[place:].lstrip()[0]!r}, which is part of no formula")
        tokens.append(match[0].strip())
        place = match.end()
    return tokens


def _is_letters(token: str) -> bool:
    return token.isalpha() and token not in _WORDS


class _Reader:
    """Recursive descent over the tokens; a run of letters is taken apart."""

    def __init__(self, tokens: Sequence[str], alphabet: str) -> None:
        self._tokens = [part for token in tokens for part in (token if _is_letters(token) else [token])]
        self._places = {letter: place for place, letter in enumerate(alphabet)}
        self._at = 0

    @property
    def token(self) -> str:
        """The next one; empty at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def formula(self) -> Node:
        first = self._sum()
        if not self._took("if"):
            return first
        asked, parity = self._sum(), self.token
        if parity not in ("odd", "even"):
            raise ValueError("asks neither for odd nor for even; write A if b odd else C")
        self._at += 1
        if not self._took("else"):
            raise ValueError("says what it is if, but not else; write A if b odd else C")
        return Choice(asked, parity == "odd", first, self.formula())

    def _sum(self) -> Node:
        is_negative = self._took("-")
        node = self._product()
        node = Binary("-", Number(0), node) if is_negative else node
        while self.token in ("+", "-"):
            node = Binary(self._take(), node, self._product())
        return node

    def _product(self) -> Node:
        node, was_divided = self._power(), False
        while True:
            if self.token in ("*", "/"):
                sign = self._take()
                node, was_divided = Binary(sign, node, self._power()), sign == "/"
            elif self.token == "(" or self.token.isdecimal() or self.token in self._places:
                if was_divided:
                    raise ValueError(f"is ambiguous at {self.token!r} after a quotient: write a/(bc) or ac/b")
                node = Binary("*", node, self._power())
            else:
                return node

    def _power(self) -> Node:
        node = self._atom()
        if self.token not in ("^", "**"):
            return node
        self._at += 1
        if not self.token.isdecimal() or int(self.token) > LARGEST_EXPONENT:
            shown = self.token or "nothing"
            raise ValueError(f"has the exponent {shown}; a whole number from 0 to {LARGEST_EXPONENT} is due")
        return Power(node, int(self._take()))

    def _atom(self) -> Node:
        token = self.token
        if token.isdecimal():
            return Number(int(self._take()))
        if token in self._places:
            return Operand(self._places[self._take()])
        if self._took("("):
            node = self.formula()
            if not self._took(")"):
                raise ValueError("lacks a closing parenthesis")
            return node
        raise ValueError(
            f"has {token!r} where an operand is due" if token else "ends where an operand is due"
        )

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _took(self, token: str) -> bool:
        is_there = self.token == token
        self._at += is_there
        return is_there


def _divisors(node: Node, odd: frozenset[Node]) -> list[Operand | Number]:
    """What is divided by, without operands that are known to be odd there, hence not 0.

    Raises:
        ValueError: it is no product of operands, so that its zeros are no operand's.
    """
    match node:
        case Binary(sign, left, right):
            own = [factor for factor in _factors(right) if factor not in odd] if sign == "/" else []
            return [*own, *_divisors(left, odd), *_divisors(right, odd)]
        case Power(base, _):
            return _divisors(base, odd)
        case Choice(asked, is_odd, yes, no):
            known = odd | {asked}
            return [
                *_divisors(asked, odd),
                *_divisors(yes, known if is_odd else odd),
                *_divisors(no, odd if is_odd else known),
            ]
        case _:
            return []


def _factors(node: Node) -> list[Operand | Number]:
    match node:
        case Operand() | Number():
            return [node]
        case Power(base, _):
            return _factors(base)
        case Binary("*", left, right):
            return [*_factors(left), *_factors(right)]
        case _:
            raise ValueError("divides by something that may be 0 for many operands: divide by a, ab or a^2")
