"""Sign changes of units along segments."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.probes.complexity.hull import MOST_NUMBERS
from epochal.probes.complexity.look import LOGITS, listening
from epochal.probes.complexity.space import Space


def segment_changes(
    space: Space,
    starts: Float[Tensor, "N d"],
    ends: Float[Tensor, "N d"],
    *,
    points: int,
    layers: Mapping[str, int],
) -> Float[Tensor, "L N"]:
    """How often units of each layer change between positive and not, from point to point of a segment."""
    look = space.look
    widest = max(*look.units.values(), *layers.values(), look.logits, space.points.shape[-1])
    rows = max(1, MOST_NUMBERS // (points * widest))
    along = torch.linspace(0, 1, points, dtype=starts.dtype, device=starts.device)[:, None, None]
    found = []
    for first in range(0, len(starts), rows):
        start, end = starts[first : first + rows], ends[first : first + rows]
        counts: dict[str, Tensor] = {}

        def count(
            layer: str, value: Tensor, counts: dict[str, Tensor] = counts, number: int = len(start)
        ) -> None:
            seen = value.unflatten(0, (points, number)).flatten(2)
            is_on = seen > 0
            changed = (is_on[1:] != is_on[:-1]).sum((0, 2)).to(starts.dtype)
            changed = torch.where(seen.isfinite().all(2).all(0), changed, torch.nan)
            counts[layer] = counts[layer] + changed if layer in counts else changed

        answer = space.forward(torch.lerp(start, end, along).flatten(0, 1), listening(layers, count))
        if LOGITS in layers:
            count(LOGITS, answer)
        found.append(torch.stack([counts[layer] for layer in layers]))
    return torch.cat(found, -1)
