"""Transforms one after another; the order is the order written."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.transform import Context, State, Transform


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
        for place, link in enumerate(self.links):
            delta, own = link.update(delta, part_of(state, place), context)
            after |= {f"{place}.{name}": value for name, value in own.items()}
        return delta, after


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
