"""The tap: the one seam through which activations are seen and changed.

A model calls ``h = tap("block.0", h)`` at each of its named sites. The silent tap gives ``h`` back; a
recording one keeps it; an edit may detach, replace or add to it (local rules, interventions, gradients
with respect to a site by adding zeros).
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Edit = Callable[[str, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Tap:
    """What a forward pass is told about its surroundings: whether it trains, and who listens."""

    training: bool = False
    edit: Edit | None = None

    def __call__(self, site: str, activation: Tensor) -> Tensor:
        return activation if self.edit is None else self.edit(site, activation)


SILENT = Tap()


def recording(*, training: bool = False) -> tuple[Tap, dict[str, Tensor]]:
    """A tap and the dictionary that it fills with the activation of every site, in the order of visits."""
    seen: dict[str, Tensor] = {}

    def keep(site: str, activation: Tensor) -> Tensor:
        seen[site] = activation
        return activation

    return Tap(training=training, edit=keep), seen
