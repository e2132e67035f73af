"""The loss of a network as a potential of its flat parameters: on minibatches, on all data, for many rows."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.samplers.batches import BatchOrder

RowLoss = Callable[[Float[Tensor, " P"], Int64[Tensor, " B"]], Float[Tensor, ""]]
"""Mean loss of one network on the examples with these numbers; differentiable, and usable under ``vmap``."""

RowsSlope = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""``(flat [R, P], index [R, B]) -> (loss [R], gradient [R, P])``."""

EXAMPLES_AT_ONCE = 65_536
"""Of all rows together in one forward pass: bounds the memory of activations."""


@dataclass(frozen=True, kw_only=True)
class NetworkLoss:
    """A network's loss on ``size`` examples; ``slope`` may be a faster form of what ``row`` gives."""

    row: RowLoss
    size: int
    slope: RowsSlope

    @classmethod
    def of(cls, row: RowLoss, size: int, slope: RowsSlope | None = None) -> "NetworkLoss":
        return cls(row=row, size=size, slope=slope or batched(row))

    def full_slope(self, flat: Float[Tensor, "R P"]) -> tuple[Float[Tensor, " R"], Float[Tensor, "R P"]]:
        """On all data, in pieces; in float64 the sum over them."""
        rows = len(flat)
        pieces = torch.arange(self.size, device=flat.device).split(max(1, EXAMPLES_AT_ONCE // rows))
        loss = torch.zeros(rows, dtype=torch.float64, device=flat.device)
        gradient = torch.zeros_like(flat)
        for piece in pieces:
            value, slope = self.slope(flat, piece.expand(rows, -1))
            loss += value.double() * (len(piece) / self.size)
            gradient += slope * (len(piece) / self.size)
        return loss, gradient

    def full(self, flat: Float[Tensor, "R P"]) -> Float[Tensor, " R"]:
        """L on all data."""
        return self.full_slope(flat)[0]


class OnBatches:
    """The potential of a sampler's rows on minibatches."""

    is_stepwise = True

    def __init__(self, loss: NetworkLoss, order: BatchOrder) -> None:
        self._loss, self._order = loss, order

    def slope(self, w: Float[Tensor, "R P"], step: int) -> tuple[Tensor, Tensor]:
        return self._loss.slope(w, self._order.next().to(w.device))


class OnAll:
    """The potential of a sampler's rows on the full data."""

    is_stepwise = False

    def __init__(self, loss: NetworkLoss) -> None:
        self._loss = loss

    def slope(self, w: Float[Tensor, "R P"], step: int) -> tuple[Tensor, Tensor]:
        return self._loss.full_slope(w)


def batched(row: RowLoss) -> RowsSlope:
    """One forward pass of all rows under ``vmap``, and one backward: rows do not mix."""

    def slope(flat: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            place = flat.detach().requires_grad_()
            if len(place) == 1:
                loss = row(place[0], index[0])[None]
            else:
                loss = torch.vmap(row, randomness="error")(place, index)
            (gradient,) = torch.autograd.grad(loss.sum(), place)
        return loss.detach(), gradient

    return slope
