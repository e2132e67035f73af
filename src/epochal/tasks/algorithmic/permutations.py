"""The symmetric group S5: 120 permutations in lexicographic order, and products as openai/grok has them.

A product ``ab`` applies a first: ``(ab)[i] = b[a[i]]``, NumPy's ``b[a]`` and SymPy's ``a * b``.

Source: openai/grok, ``data.py``, ``_make_binary_operation_data``.
"""

import itertools
from functools import cache

ELEMENTS = tuple(itertools.permutations(range(5)))
NAMES = tuple("".join(map(str, element)) for element in ELEMENTS)
PRODUCTS = ("s5", "s5conj", "s5aba")
"""``ab``, ``a b a^-1`` and ``aba``."""


@cache
def products(name: str) -> tuple[tuple[int, ...], ...]:
    """``products(name)[a][b]``: numbers of permutations."""
    number = {element: place for place, element in enumerate(ELEMENTS)}

    def times(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(b[i] for i in a)

    def inverse(a: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(range(5), key=a.__getitem__))

    def product(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
        match name:
            case "s5":
                return times(a, b)
            case "s5conj":
                return times(times(a, b), inverse(a))
            case _:
                return times(times(a, b), a)

    return tuple(tuple(number[product(a, b)] for b in ELEMENTS) for a in ELEMENTS)
