"""The plane in which an embedding goes round a circle at one frequency."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from epochal.core.values.errors import UserError
from epochal.core.values.options import Options
from epochal.probes.modular.shares import share
from epochal.probes.modular.waves import coefficients


class CircleOptions(Options):
    """Which circle."""

    parameter: str = Field(default="embed.weight", description="weight matrix")
    frequency: int = Field(
        default=0, ge=0, description="cycles per modulus; 0 takes the strongest of each network"
    )


@dataclass(frozen=True, eq=False)
class Circle:
    """``points[k]`` is element k in the plane, its first axis along the cosine; ``angles`` is where it should
    be.

    ``variance`` is the share of the embedding's variance at this frequency, ``roundness`` the smaller axis of
    its ellipse over the larger.
    """

    frequency: Int64[Tensor, ""]
    points: Float[Tensor, "n 2"]
    angles: Float[Tensor, " n"]
    variance: Float[Tensor, ""]
    roundness: Float[Tensor, ""]


def circle_of(rows: Float[Tensor, "n D"], frequency: int) -> Circle:
    """Of the given frequency, or for 0 the strongest.

    Raises:
        UserError: there is no such frequency.
    """
    n = len(rows)
    most = (n - 1) // 2  # at n / 2 there is a line only
    if not 0 <= frequency <= most:
        raise UserError(f"frequency={frequency} is outside 1 to {most}, where embeddings can go round")
    cosine, sine = coefficients(rows)
    power = (cosine**2 + sine**2).sum(-1)[1:]
    strongest = power[:most].argmax(-1) + 1
    chosen = torch.full_like(strongest, frequency) if frequency else strongest
    c, s = (of.index_select(0, chosen[None])[0] for of in (cosine, sine))
    first = share(c, torch.linalg.vector_norm(c))
    rest = s - (s * first).sum() * first
    second = share(rest, torch.linalg.vector_norm(rest))
    middle, half = ((c**2).sum() + (s**2).sum()) / 2, ((c**2).sum() - (s**2).sum()) / 2
    spread = torch.sqrt(half**2 + (c * s).sum() ** 2)
    k = torch.arange(n, device=rows.device)
    return Circle(
        frequency=chosen,
        points=rows @ torch.stack([first, second], -1),
        angles=(2 * math.pi / n) * (chosen * k % n).to(rows.dtype),
        variance=share(power.index_select(0, chosen[None] - 1)[0], power.sum()),
        roundness=share((middle - spread).clamp(min=0), middle + spread).sqrt(),
    )
