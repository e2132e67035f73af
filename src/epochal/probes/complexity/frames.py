"""Orthonormal frames: a fresh one per example, or one for all."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.precision import wide
from epochal.core.tensors.random import Key
from epochal.core.values.errors import UserError

FEW_DIMENSIONS = 4
"""Per direction: below, a Gaussian matrix may be ill-conditioned, and Cholesky's way loses its digits."""


def own_frames(
    key: Key, examples: Int64[Tensor, " B"], directions: int, dimensions: int, dtype: torch.dtype
) -> Float[Tensor, "B P d"]:
    """Uniform on all frames (Haar), one per example and a function of its number alone."""
    keys = random.fold(key.to(examples.device).expand(len(examples)), examples)
    shape = (len(examples), directions, dimensions)
    if dimensions < FEW_DIMENSIONS * directions:
        places = torch.arange(directions * dimensions, device=keys.device)
        exact = random.normal(keys[:, None], places[None, :], wide(keys.device))
        return _orthonormal(exact.reshape(shape)).to(dtype)
    drawn = _normals(keys, directions * dimensions).reshape(shape).to(dtype)
    # Much faster than Householder's QR; its error is the condition's square, here below 10.
    root = torch.linalg.cholesky_ex(drawn @ drawn.mT).L
    eye = torch.eye(directions, dtype=dtype, device=drawn.device).expand_as(root)
    inverse: Tensor = torch.linalg.solve_triangular(root, eye, upper=False)
    return inverse @ drawn  # less time than solving for all dimensions


def shared_frame(key: Key, directions: int, dimensions: int, dtype: torch.dtype) -> Float[Tensor, "1 P d"]:
    """The rows of a default-initialised linear layer, uniform in +-1/sqrt(d), made orthonormal."""
    drawn = 2 * random.uniform(key, (directions, dimensions), wide(key.device)) - 1
    return _orthonormal(drawn[None] / math.sqrt(dimensions)).to(dtype)


def check_directions(vertices: int, dimensions: int) -> int:
    """How many directions so many vertices need.

    Raises:
        UserError: more than there are dimensions.
    """
    directions = vertices // 2
    if directions > dimensions:
        raise UserError(
            f"vertices={vertices} needs {directions} orthogonal directions, examples have {dimensions} "
            f"dimensions: give vertices={2 * dimensions} or fewer"
        )
    return directions


def _orthonormal(rows: Float[Tensor, "B P d"]) -> Float[Tensor, "B P d"]:
    made = torch.linalg.qr(rows.mT)
    # Householder's signs are not uniform; with a positive diagonal of R the frame is.
    signs = torch.where(made.R.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(rows.dtype)
    frame: Tensor = made.Q.mT * signs[..., None]
    return frame


def _normals(keys: Key, count: int) -> Float[Tensor, "B N"]:
    """Two per 32 bits, by Box and Muller's transform in float32 with 16 bits each for angle and radius.

    random.normal has finer ones and takes several times as long; here a count of cut units cannot tell the
    difference. None is above 4.9.
    """
    pairs = (count + 1) // 2
    words = random.bits(keys[:, None], torch.arange((pairs + 1) // 2, device=keys.device)[None, :])
    parts = words.view(torch.int16).to(torch.float32)
    half = parts.shape[-1] // 2
    angle = parts[:, :pairs].mul(math.pi * 2.0**-15)
    radius = parts[:, half : half + pairs].add(2.0**15 + 0.5).mul_(2.0**-16).log_().mul_(-2.0).sqrt_()
    return torch.cat([angle.cos().mul_(radius), angle.sin().mul_(radius)], -1)[:, :count]
