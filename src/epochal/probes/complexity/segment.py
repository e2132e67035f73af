"""Sign changes of units along segments."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.precision import wide
from epochal.probes.complexity.hull import MOST_NUMBERS
from epochal.probes.complexity.look import LOGITS, listening
from epochal.probes.complexity.space import Space


def segment_changes(
    space: Space, *, points: int, layers: Mapping[str, int]
) -> tuple[Float[Tensor, "L N"], Float[Tensor, " N"]]:
    """How often units of each layer change between positive and not, from point to point of a segment, and
    how long segments are; the first goes from the first example to the second, the next from the third on."""
    look = space.look
    widest = max(*look.units.values(), *layers.values(), look.logits, space.dimensions)
    rows = max(1, MOST_NUMBERS // (points * widest))
    found, lengths = [], []
    for _, block in space.blocks():
        whole = block[: len(block) // 2 * 2]  # blocks are even but for the last
        for start, end in zip(whole[::2].split(rows), whole[1::2].split(rows), strict=True):
            found.append(_changes(space, start, end, points, layers))
            lengths.append(torch.linalg.vector_norm((end - start).to(wide(start.device)), dim=-1))
    return torch.cat(found, -1), torch.cat(lengths)


def _changes(
    space: Space,
    start: Float[Tensor, "B d"],
    end: Float[Tensor, "B d"],
    points: int,
    layers: Mapping[str, int],
) -> Float[Tensor, "L B"]:
    along = torch.linspace(0, 1, points, dtype=start.dtype, device=start.device)[:, None, None]
    counts: dict[str, Tensor] = {}

    def count(layer: str, value: Tensor) -> None:
        seen = value.unflatten(0, (points, len(start))).flatten(2)
        is_on = seen > 0
        changed = (is_on[1:] != is_on[:-1]).sum((0, 2)).to(start.dtype)
        changed = torch.where(seen.isfinite().all(2).all(0), changed, torch.nan)
        counts[layer] = counts[layer] + changed if layer in counts else changed

    answer = space.forward(torch.lerp(start, end, along).flatten(0, 1), listening(layers, count))
    if LOGITS in layers:
        count(LOGITS, answer)
    return torch.stack([counts[layer] for layer in layers])
