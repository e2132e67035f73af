"""Which run of A goes with which run of B: all pairings within strata, or random ones."""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

# 8! = 40,320 is enumerated in 10 ms; 9! would take 0.1 s and 10! 2 s.
MOST_ENUMERATED = 50_000
NUM_DRAWS = 9_999


@dataclass(frozen=True, kw_only=True)
class Pairings:
    """``order[n, s]``: the run whose B goes with the A of run s in pairing n; all of them when ``exact``."""

    order: Int[np.ndarray, "N S"]
    exact: bool

    def __len__(self) -> int:
        return len(self.order)

    def p(self, num_at_least: int) -> float:
        """Share of the pairings at least as extreme; random pairings count the observed one as well."""
        if self.exact:
            return num_at_least / len(self)
        return (num_at_least + 1) / (len(self) + 1)


def pairings(
    strata: NDArray[np.int64], generator: np.random.Generator, num_draws: int = NUM_DRAWS
) -> Pairings:
    """Every pairing within strata if there are at most 50,000, else ``num_draws`` random ones."""
    sizes = np.bincount(strata)
    count = math.prod(math.factorial(int(size)) for size in sizes)
    runs = [np.flatnonzero(strata == number) for number in range(len(sizes))]
    exact = count <= MOST_ENUMERATED
    order = np.empty((count if exact else num_draws, len(strata)), dtype=np.intp)
    repeat = 1
    for members in runs:
        if exact:
            chosen = members[every_order(len(members))]
            each = count // (repeat * len(chosen))
            order[:, members] = np.tile(np.repeat(chosen, each, axis=0), (repeat, 1))
            repeat *= len(chosen)
        else:
            order[:, members] = generator.permuted(np.tile(members, (num_draws, 1)), axis=1)
    return Pairings(order=order, exact=exact)


@lru_cache(maxsize=8)
def every_order(size: int) -> NDArray[np.intp]:
    return np.array(list(permutations(range(size))), dtype=np.intp).reshape(-1, size)


def concordance(
    signs_a: Int[np.ndarray, "S S"], signs_b: Int[np.ndarray, "S S"], order: Int[np.ndarray, "N S"]
) -> Int[np.ndarray, "N"]:
    """Kendall's S of every pairing: pairs of runs in the same order in A and B, less those in opposite order.

    Pairs of different strata must be 0 in ``signs_a``.
    """
    later, earlier = np.nonzero(signs_a > 0)
    flat = signs_b.ravel()
    columns = np.ascontiguousarray(order.T)
    rows = columns * len(signs_b)
    total = np.zeros(len(order), dtype=np.int64)
    # One pair of runs at a time: all at once would need pairs x pairings numbers at once.
    for i, j in zip(later, earlier, strict=True):
        total += flat[rows[i] + columns[j]]
    return total
