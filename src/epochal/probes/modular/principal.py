"""Principal directions of a cloud of points, in a form that runs for many clouds at once."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Principal:
    """``variances`` fall; ``coordinates[:, i]`` are the points along direction i, the largest is positive."""

    variances: Float[Tensor, " n"]
    coordinates: Float[Tensor, "n n"]


def principal(points: Float[Tensor, "n D"]) -> Principal:
    """Of the points about their mean; NaN where a point is. Variances are sums of squares, not means."""
    centred = points - points.mean(0)
    is_finite = centred.isfinite().all()
    # Decompositions raise on NaN, and one member must not stop the others.
    safe = torch.where(is_finite, centred, 0.0)
    values, vectors = torch.linalg.eigh(safe @ safe.T)
    rounding = torch.finfo(values.dtype).eps * len(values) * values[-1:].abs()
    values = torch.where(values > rounding, values, 0.0).flip(-1)
    vectors = vectors.flip(-1)
    largest = vectors.abs().argmax(0)
    sign = vectors.gather(0, largest[None])[0].sign()
    coordinates = vectors * sign * values.sqrt()
    nan = torch.full((), torch.nan, dtype=values.dtype, device=values.device)
    return Principal(torch.where(is_finite, values, nan), torch.where(is_finite, coordinates, nan))
