"""The space in which examples can be moved: a network's inputs, or the embedding of its tokens."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.tap import Tap, recording
from epochal.core.tensors.view import View
from epochal.core.values.errors import UserError
from epochal.probes.complexity.look import Look, look_at

Where = Literal["train", "val", "test", "random"]
EMBEDDING = "embed"
"""The site at which tokens are vectors, in every network of ours that has one."""


BLOCK = 256
"""Examples that are points at a time, an even number: any number of samples takes the memory of so many."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """``number`` examples as points ``[d]``, made when asked for, and the network as a function of any."""

    number: int
    points: Callable[[int, int], Float[Tensor, "B d"]]
    """Of the examples from a first to before a last one."""
    forward: Callable[[Tensor, Tap], Tensor]

    @cached_property
    def first(self) -> Float[Tensor, "1 d"]:
        return self.points(0, 1)

    @property
    def dimensions(self) -> int:
        return self.first.shape[-1]

    @cached_property
    def look(self) -> Look:
        """What the network shows of one example."""
        return look_at(self.forward, self.first)

    def blocks(self) -> Iterator[tuple[int, Float[Tensor, "B d"]]]:
        """All points, block by block, each with the number of its first example."""
        for first in range(0, self.number, BLOCK):
            yield first, self.points(first, min(first + BLOCK, self.number))


def space_of(view: View, where: Where, samples: int) -> Space:
    """So many examples of a split, or uniform points in the range of as many training examples.

    Raises:
        UserError: tokens that never become vectors, or random tokens.
    """
    split = "train" if where == "random" else where
    places = view.drawn_places(split, samples)
    one = view.examples(split, places[:1]).inputs
    if not one.is_floating_point():
        return _embedded(view, one, where, places)
    shape = one.shape[1:]

    def drawn(first: int, last: int) -> Tensor:
        return view.examples(split, places[first:last]).inputs.flatten(1)

    def forward(rows: Tensor, tap: Tap) -> Tensor:
        return view.predict(rows.reshape(-1, *shape), tap)

    space = Space(number=len(places), points=drawn, forward=forward)
    if where != "random":
        return space
    ranges = [points.aminmax() for _, points in space.blocks()]
    low, high = torch.stack([r.min for r in ranges]).amin(), torch.stack([r.max for r in ranges]).amax()
    key = random.key(view.fields.get("seed", 0), "random points").to(one.device)
    dimensions = space.dimensions

    def uniform(first: int, last: int) -> Tensor:
        numbers = torch.arange(first * dimensions, last * dimensions, device=key.device)
        return low + (high - low) * random.uniform(key, numbers.reshape(-1, dimensions), one.dtype)

    return Space(number=samples, points=uniform, forward=forward)


def _embedded(view: View, one: Tensor, where: Where, places: Int64[Tensor, " N"]) -> Space:
    """``one [1, S]``: the tokens of the first example."""
    if where == "random":
        raise UserError("split=random needs inputs that are numbers, this task has tokens: give split=train")
    split = where

    def vectors(tokens: Tensor) -> Tensor:
        tap, seen = recording()
        view.predict(tokens, tap)
        if EMBEDDING not in seen:
            raise UserError(
                "tokens cannot be moved, and this network makes no vectors of them at a site called embed "
                f"(its sites: {', '.join(seen) or 'none'}); give embedding=learned, or another model"
            )
        return seen[EMBEDDING]

    shape = vectors(one).shape[1:]

    def points(first: int, last: int) -> Tensor:
        return vectors(view.examples(split, places[first:last]).inputs).flatten(1)

    def forward(rows: Tensor, tap: Tap) -> Tensor:
        moved = rows.reshape(-1, *shape)

        def put(site: str, activation: Tensor) -> Tensor:
            return tap(site, moved.to(activation.dtype) if site == EMBEDDING else activation)

        # What the tokens were does not matter any more, only how many there are.
        any_tokens = one.expand(len(moved), *one.shape[1:])
        return view.predict(any_tokens, Tap(edit=put, watch=tap.watch))

    return Space(number=len(places), points=points, forward=forward)
