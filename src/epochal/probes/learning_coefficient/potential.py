"""The loss of a network as a potential of its flat parameters: on minibatches, on all data, for many rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils._pytree import tree_map

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

    def bytes_kept(self, flat: Float[Tensor, " P"], examples: int) -> int:
        """What one row keeps from its forward pass for its backward pass, on so many examples."""
        kept: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()  # views of one activation share it
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        index = torch.arange(min(examples, self.size), device=flat.device)
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            self.row(flat.detach().requires_grad_(), index)
        return sum(kept.values())

    def full_slope(self, flat: Float[Tensor, "R P"]) -> tuple[Float[Tensor, " R"], Float[Tensor, "R P"]]:
        """On all data, in pieces."""
        return over_all(self.slope, self.size, flat)

    def full(self, flat: Float[Tensor, "R P"]) -> Float[Tensor, " R"]:
        """L on all data."""
        return self.full_slope(flat)[0]


@dataclass(frozen=True, kw_only=True)
class LossesAlong:
    """The losses of several snapshots of a network on the same examples: the first rows are chains of the
    first, then come as many of the second, and so on."""

    size: int
    slope: RowsSlope

    @classmethod
    def of(
        cls, row: Callable[[Tensor, Tensor, Any], Tensor], size: int, surroundings: Mapping[str, Tensor]
    ) -> "LossesAlong":
        """``row`` is also told the surroundings ``[S, ...]`` of a snapshot, such as running statistics."""
        num_snapshots = len(next(iter(surroundings.values())))

        def slope(flat: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
            chains = len(flat) // num_snapshots
            spread = {name: of.repeat_interleave(chains, 0) for name, of in surroundings.items()}
            return slope_of_rows(row, flat, index, spread)

        return cls(size=size, slope=slope)

    def full_slope(self, flat: Float[Tensor, "R P"]) -> tuple[Float[Tensor, " R"], Float[Tensor, "R P"]]:
        """As of one network."""
        return over_all(self.slope, self.size, flat)


class OnBatches:
    """The potential of a sampler's rows on minibatches."""

    is_stepwise = True

    def __init__(self, loss: NetworkLoss | LossesAlong, order: BatchOrder) -> None:
        self._loss, self._order = loss, order

    def slope(self, w: Float[Tensor, "R P"], step: int) -> tuple[Tensor, Tensor]:
        return self._loss.slope(w, self._order.next().to(w.device))


class OnAll:
    """The potential of a sampler's rows on the full data."""

    is_stepwise = False

    def __init__(self, loss: NetworkLoss | LossesAlong) -> None:
        self._loss = loss

    def slope(self, w: Float[Tensor, "R P"], step: int) -> tuple[Tensor, Tensor]:
        return self._loss.full_slope(w)


def over_all(
    slope: RowsSlope, size: int, flat: Float[Tensor, "R P"]
) -> tuple[Float[Tensor, " R"], Float[Tensor, "R P"]]:
    """Loss and gradient on all examples, in pieces; in float64 the sum of losses over them."""
    rows = len(flat)
    pieces = torch.arange(size, device=flat.device).split(max(1, EXAMPLES_AT_ONCE // rows))
    loss = torch.zeros(rows, dtype=torch.float64, device=flat.device)
    gradient = torch.zeros_like(flat)
    for piece in pieces:
        value, of_piece = slope(flat, piece.expand(rows, -1))
        loss += value.double() * (len(piece) / size)
        gradient += of_piece * (len(piece) / size)
    return loss, gradient


def batched(row: RowLoss) -> RowsSlope:
    """One forward pass of all rows under ``vmap``, and one backward: rows do not mix."""
    return lambda flat, index: slope_of_rows(row, flat, index)


def slope_of_rows(
    row: Callable[..., Tensor], flat: Float[Tensor, "R P"], index: Int64[Tensor, "R B"], *more: Any
) -> tuple[Float[Tensor, " R"], Float[Tensor, "R P"]]:
    """``more`` are further arguments of ``row``, with rows in front."""
    with torch.enable_grad():
        place = flat.detach().requires_grad_()
        if len(place) == 1:
            loss = row(place[0], index[0], *tree_map(lambda of: of[0], more))[None]
        else:
            loss = torch.vmap(row, randomness="error")(place, index, *more)
        (gradient,) = torch.autograd.grad(loss.sum(), place)
    return loss.detach(), gradient
