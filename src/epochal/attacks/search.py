"""What attacks share: slopes in the inputs that leave nothing behind, and the best point so far."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from epochal.attacks.losses import Loss, margin

Predict = Callable[[Float[Tensor, "B ..."]], Float[Tensor, "B C"]]
"""A network in evaluation mode: logits of any inputs, differentiable in them."""


class Slope(NamedTuple):
    """At a point: the gradient of each example's loss, the loss itself, the margin."""

    gradient: Float[Tensor, "B ..."]
    loss: Float[Tensor, " B"]
    margin: Float[Tensor, " B"]


def slope_at(
    predict: Predict, points: Float[Tensor, "B ..."], targets: Int64[Tensor, " B"], loss: Loss
) -> Slope:
    """One forward and one backward pass; no gradient in parameters, no graph, nothing in any ``.grad``.

    ``torch.func.grad`` sees what happens inside it; ``no_grad`` around it keeps an outer autograd, that of
    training, from recording the passes. Outside of ``vmap`` ordinary autograd takes a sixth less time. Slopes
    that are not finite count as 0.
    """

    def total(at: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        logits = predict(at)
        each = loss(logits, targets)
        return each.sum(), (each, margin(logits, targets))

    if torch._C._functorch.maybe_current_level() is None:
        with torch.enable_grad():
            at = points.detach().requires_grad_()
            summed, (each, margins) = total(at)
            # A network that ignores its inputs gives no graph.
            gradient = torch.autograd.grad(summed, at)[0] if summed.requires_grad else torch.zeros_like(at)
    else:
        with torch.no_grad():
            gradient, (each, margins) = torch.func.grad(total, has_aux=True)(points)
    return Slope(gradient.nan_to_num(nan=0.0), each.detach(), margins.detach())


def margin_at(
    predict: Predict, points: Float[Tensor, "B ..."], targets: Int64[Tensor, " B"]
) -> Float[Tensor, " B"]:
    """One forward pass."""
    with torch.no_grad():
        return margin(predict(points), targets)


@dataclass
class Best:
    """Of the points that were seen, for each example the one with the largest margin; the first of equals."""

    points: Float[Tensor, "B ..."]
    margin: Float[Tensor, " B"]

    def see(self, points: Float[Tensor, "B ..."], margins: Float[Tensor, " B"]) -> None:
        is_better = margins > self.margin
        self.points = chosen(is_better, points, self.points)
        self.margin = torch.maximum(margins, self.margin)


def chosen(
    is_first: Bool[Tensor, " B"], first: Float[Tensor, "B ..."], other: Float[Tensor, "B ..."]
) -> Float[Tensor, "B ..."]:
    """Example by example."""
    return torch.where(is_first.reshape(-1, *[1] * (first.ndim - 1)), first, other)
