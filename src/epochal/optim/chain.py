"""Transforms one after another; the order is the order written."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.transform import Context, State, Transform
from epochal.optim import one_pass


@runtime_checkable
class Onto(Protocol):
    """A link that can add its update to what is given, in the same pass over memory."""

    def update_onto(
        self, onto: Float[Tensor, "M P"] | None, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]: ...


@runtime_checkable
class Addend(Protocol):
    """A link without state that adds the same to every update."""

    def addend(self, context: Context) -> Float[Tensor, "M P"]: ...


@dataclass(frozen=True)
class Chain:
    """Each link gets what the one before returns. State of link k: its own names after ``k.``."""

    links: tuple[Transform, ...]

    def init(self, flat: Float[Tensor, "M P"]) -> State:
        return {
            f"{place}.{name}": value
            for place, link in enumerate(self.links)
            for name, value in link.init(flat).items()
        }

    def update(
        self, delta: Float[Tensor, "M P"], state: State, context: Context
    ) -> tuple[Float[Tensor, "M P"], State]:
        after: State = {}
        pairs = self._pairs if one_pass.applies(delta) else {}
        for place, link in enumerate(self.links):
            if place - 1 in pairs:
                continue  # went with the link before
            own_state = part_of(state, place)
            if place in pairs:
                first, then = pairs[place]
                delta, own = first.update_onto(then.addend(context), delta, own_state, context)
            else:
                delta, own = link.update(delta, own_state, context)
            after |= {f"{place}.{name}": value for name, value in own.items()}
        return delta, after

    @cached_property
    def _pairs(self) -> dict[int, tuple[Onto, Addend]]:
        """By the place of the first: neighbours that are one pass over memory."""
        neighbours = enumerate(zip(self.links, self.links[1:], strict=False))
        return {
            place: (link, then)
            for place, (link, then) in neighbours
            if isinstance(link, Onto) and isinstance(then, Addend)
        }


def chain(*links: Transform) -> Chain:
    """``chain(Clip(), adamw())``: first the gradient is clipped, then AdamW turns it into an update.

    A chain in a chain becomes its links.
    """
    flat = [inner for link in links for inner in (link.links if isinstance(link, Chain) else (link,))]
    return Chain(tuple(flat))


def part_of(state: State, place: int) -> State:
    """What link number ``place`` called by its own names."""
    prefix = f"{place}."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
