"""Transforms one after another; the order is the order written."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.transform import Context, State, Transform


@dataclass(frozen=True)
class Chain:
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
            prefix = f"{place}."
            own = {
                name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
            }
            delta, own = link.update(delta, own, context)
            after |= {prefix + name: value for name, value in own.items()}
        return delta, after


def chain(*links: Transform) -> Chain:
    """``chain(clip(), adamw())``: first the gradient is clipped, then AdamW turns it into an update."""
    return Chain(links)
