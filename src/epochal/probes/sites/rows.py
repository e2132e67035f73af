"""Per-example vectors of a site: their lengths, and the cosine between two of them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epochal.core.tensors.precision import wide


def rows(values: Float[Tensor, "N ..."]) -> Float[Tensor, "N D"]:
    """One vector per example with all that a site holds of it, in float64."""
    return values.flatten(1).to(wide(values.device))


def lengths(values: Float[Tensor, "N ..."]) -> Float[Tensor, " N"]:
    """Euclidean length per example."""
    found: Tensor = torch.linalg.vector_norm(rows(values), dim=-1)
    return found


@dataclass(frozen=True, eq=False)
class Directions:
    """Vectors of a site, one per example, in float64 and with their lengths, which several cosines need."""

    vectors: Float[Tensor, "N D"]
    lengths: Float[Tensor, " N"]

    @classmethod
    def of(cls, values: Float[Tensor, "N ..."]) -> "Directions":
        vectors = rows(values)
        return cls(vectors, torch.linalg.vector_norm(vectors, dim=-1))


def cosines(first: Directions, second: Directions) -> Float[Tensor, " N"]:
    """Per example, in [-1, 1]; NaN where either vector is zero or not finite.

    No epsilon: torch's ``cosine_similarity`` shrinks what is shorter than 1e-8, so that credit seems to lose
    its direction where gradients are only small.
    """
    along: Tensor = torch.linalg.vecdot(first.vectors, second.vectors)
    return (along / (first.lengths * second.lengths)).clamp(-1.0, 1.0)
