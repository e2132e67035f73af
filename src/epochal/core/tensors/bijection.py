"""A keyed order of ``0 .. a b - 1`` of which any part can be had without the rest.

An alternating Feistel network on pairs (left, right) with 0 <= left < a, 0 <= right < b: each round adds a
hash of one half to the other, which can be undone, so that the whole is a bijection whatever the hash. No
element costs more than ``ROUNDS`` hashes (about 0.1 us), and nothing of size a b is ever there.

Because the domain is a product exactly, no value falls outside it and has to be walked back in (Black &
Rogaway 2002, "Ciphers with arbitrary finite domains", method 2), which would be a loop on values.

Source: Bellare, Ristenpart, Rogaway & Stegers 2009, "Format-preserving encryption", FE2 (section 4), with the
project's hash for their cipher: mixed well, not secret.
"""

from jaxtyping import Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.random import Key

ROUNDS = 10
"""As many as FFX asks for; from 6 on no deviation from uniform was seen in the tests."""


def shuffled(key: Key, place: Int64[Tensor, "*shape"], sizes: tuple[int, int]) -> Int64[Tensor, "..."]:
    """Which number stands at each place of the keyed order; ``sizes`` are a and b, places below a b.

    Uniform for each key where a and b are both large; with a = 1 or b = 1 it is a rotation only.
    """
    a, b = sizes
    left, right = place // b, place % b
    for number in range(ROUNDS):
        own = random.fold(key, number)
        if number % 2:
            right = (right + below(random.bits(own, left), b)) % b
        else:
            left = (left + below(random.bits(own, right), a)) % a
    return left * b + right


def below(bits: Int64[Tensor, "*shape"], size: int) -> Int64[Tensor, "*shape"]:
    """Random words as numbers below ``size``; uniform but for size / 2^63."""
    return (bits & (2**63 - 1)) % size
