"""Units whose sign changes between the vertices of a cross-polytope around each example."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.tap import Linear
from epochal.probes.complexity.look import LOGITS, listening
from epochal.probes.complexity.space import Space

MOST_NUMBERS = 2**20
"""Of the largest layer at a time, 4 MiB: fewer leave the time to dispatch, more leave the cache."""

Frames = Callable[[int, int], Float[Tensor, "B P d"]]
"""The frames of the examples from a first to before a last one; ``B = 1`` where they share one."""


def hull_counts(
    space: Space, frames: Frames, *, vertices: int, radii: Sequence[float], layers: Mapping[str, int]
) -> Float[Tensor, "R L N"]:
    """How many units of each layer are cut, per radius and example; NaN where a layer is not finite.

    ``layers`` are names and numbers of units, as `Look.layers` gives them.

    The vertices are ``x +- r v_p``; a unit is cut unless it is positive at all, negative at all, or zero at
    all of them. All radii go through the network together, a bounded number of examples at a time.
    """
    look = space.look
    inputs_width = 0 if look.has_entry else space.dimensions
    widest = max(*look.units.values(), *layers.values(), look.logits, inputs_width)
    rows = max(1, MOST_NUMBERS // (len(radii) * vertices * widest))
    found = []
    for start, block in space.blocks():
        pieces = []
        for place, points in enumerate(block.split(rows)):
            first = start + place * rows
            hull = _Hull(points=points, frames=frames(first, first + len(points)), radii=tuple(radii))
            # The first linear map is done by the hull where the network lets it, for as many rows as it
            # gives.
            number = len(radii) * vertices * len(points)
            inputs = points[:1].expand(number, -1) if look.has_entry else hull.spread(points, hull.directions)
            tap = listening(layers, hull.count, entry=hull.enter if look.has_entry else None)
            answer = space.forward(inputs, tap)
            if LOGITS in layers:
                hull.count(LOGITS, answer)
            pieces.append(torch.stack([hull.counts[layer] for layer in layers], 1))
        found.append(torch.cat(pieces, -1))
    counts = torch.cat(found, -1)
    # Elsewhere the hull would have moved what the first map does not get, or told of what it no longer is.
    return torch.where(look.is_entered, counts, torch.nan) if look.has_entry else counts


@dataclass(kw_only=True, eq=False)
class _Hull:
    """The vertices around some examples on their way through the network."""

    points: Float[Tensor, "B d"]
    frames: Float[Tensor, "_ P d"]
    radii: tuple[float, ...]
    counts: dict[str, Float[Tensor, "R B"]] = field(default_factory=dict)
    entered: Tensor | None = None
    base: Tensor | None = None
    reach: Tensor | None = None

    @property
    def directions(self) -> Float[Tensor, "P B d"]:
        return self.frames.movedim(1, 0)

    def spread(self, base: Float[Tensor, "B ..."], moves: Float[Tensor, "P _ ..."]) -> Float[Tensor, "N ..."]:
        """``base +- r moves``, all vertices of all radii as rows, examples last: [R 2 P B] rows."""
        signed = [[radius, -radius] for radius in self.radii]
        scale = torch.tensor(signed, dtype=base.dtype, device=base.device)
        made = torch.addcmul(base, scale.reshape(*scale.shape, *[1] * moves.ndim), moves)
        return made.flatten(0, 3)

    def enter(self, linear: Linear, inputs: Tensor) -> Tensor:
        """The first linear map at all vertices: two products with P + 1 rows instead of 2 P R."""
        frames = self.frames.to(inputs.dtype)
        shape = inputs.shape[1:]
        self.base = linear(self.points.to(inputs.dtype).reshape(-1, *shape))
        constant = linear(torch.zeros_like(inputs[:1]))
        moved = linear(frames.reshape(-1, *shape)) - constant
        moves = moved.unflatten(0, frames.shape[:2]).movedim(1, 0).contiguous()
        self.reach = moves.abs().amax(0)
        self.entered = self.spread(self.base, moves)
        return self.entered

    def count(self, layer: str, value: Tensor) -> None:
        if value is self.entered and self.base is not None and self.reach is not None:
            # In closed form: cut iff |W x + b| < r max_p |W v_p|.
            radii = torch.tensor(self.radii, dtype=self.reach.dtype, device=self.reach.device)
            reach = radii.reshape(-1, *[1] * self.reach.ndim) * self.reach
            low, high = self.base - reach, self.base + reach
        else:
            seen = value.unflatten(0, (len(self.radii), -1, len(self.points)))
            # Not aminmax: on a leading axis it takes ten times as long as both together.
            low, high = seen.amin(1), seen.amax(1)
        # Signs differ where low < 0 < high, or where one of them alone is 0: zero is a sign of its own.
        cut = (low.sign() != high.sign()).flatten(2).sum(-1).to(self.points.dtype)
        # A width is never negative: its maximum is not finite where any is not, at a fifth of the passes.
        cut = torch.where((high - low).flatten(2).amax(-1).isfinite(), cut, torch.nan)
        self.counts[layer] = self.counts[layer] + cut if layer in self.counts else cut
