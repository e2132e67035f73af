"""Square Attack: random squares of the image at the ball's corners, kept where they help; no gradient."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.attacks.ball import Ball, Pixels, example_keys, unbounded
from epochal.attacks.search import Best, Predict, margin_at
from epochal.core.tensors import random
from epochal.core.tensors.random import Key

FIRST_SHARE = 0.8
HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries of 10,000 at which the share of changed pixels halves."""


def square(
    predict: Predict,
    inputs: Float[Tensor, "B ..."],
    targets: Int64[Tensor, " B"],
    key: Key,
    *,
    epsilon: float | Float[Tensor, ""],
    where: Pixels | None = None,
    steps: int = 1000,
    restarts: int = 1,
) -> Float[Tensor, "B ..."]:
    """L-inf, by ``steps`` forward passes: what it finds owes nothing to the network's slopes.

    It starts from vertical stripes of ``+-epsilon`` per channel; a query sets a square at a random place to
    ``+-epsilon`` per channel, and stays where the margin rose. The share of pixels in a square starts at 0.8
    and halves on the published schedule, scaled to ``steps``. Vectors ``[B, D]`` are images of one row.

    Source: Andriushchenko et al. 2020, algorithms 1 and 2; first share of AutoAttack (Croce & Hein 2020).
    """
    ball = Ball(inputs, epsilon, "linf", where or unbounded(inputs))
    best = Best(inputs, margin_at(predict, inputs, targets))
    shape = _as_image(inputs.shape[1:])
    for restart in range(restarts):
        keys = example_keys(random.fold(random.fold(key, "square"), restart), len(inputs))
        now = ball.project(inputs + _reach(ball, _stripes(keys, shape, inputs)))
        one = Best(now, margin_at(predict, now, targets))
        for query in range(1, steps):
            side = _side(query, steps, shape)
            inside, sign = _square(random.fold(keys, query), side, shape)
            corner = ball.project(inputs + _reach(ball, sign.to(inputs.dtype).expand(-1, *shape)))
            moved = torch.where(inside.expand(-1, *shape).reshape(inputs.shape), corner, one.points)
            one.see(moved, margin_at(predict, moved, targets))
        best.see(one.points, one.margin)
    return best.points


def share_at(query: int, steps: int) -> float:
    """Of pixels that one query changes."""
    scaled = query / steps * 10_000
    return FIRST_SHARE * math.pow(0.5, sum(scaled > when for when in HALVED_AT))


def _side(query: int, steps: int, shape: tuple[int, int, int]) -> int:
    _, height, width = shape
    side = round(math.sqrt(share_at(query, steps) * height * width))
    return max(1, side)


def _square(
    keys: Int64[Tensor, " B"], side: int, shape: tuple[int, int, int]
) -> tuple[Tensor, Float[Tensor, "B channels 1 1"]]:
    """Which places belong to it, ``[B, 1, H, W]``, and its sign per channel."""
    channels, height, width = shape
    rows, columns = min(side, height), min(side, width)
    zero = torch.zeros(1, dtype=torch.int64, device=keys.device)

    def first(name: str, places: int) -> Int64[Tensor, "B 1"]:
        drawn = random.uniform(random.fold(keys, name)[:, None], zero)
        return (drawn * places).long().clamp(max=places - 1)

    y = torch.arange(height, device=keys.device) - first("row", height - rows + 1)
    x = torch.arange(width, device=keys.device) - first("column", width - columns + 1)
    inside = ((y >= 0) & (y < rows))[:, :, None] & ((x >= 0) & (x < columns))[:, None, :]
    signs = _signs(random.fold(keys, "sign")[:, None], torch.arange(channels, device=keys.device))
    return inside[:, None], signs[:, :, None, None]


def _stripes(
    keys: Int64[Tensor, " B"], shape: tuple[int, int, int], like: Tensor
) -> Float[Tensor, "B channels H W"]:
    channels, _, width = shape
    places = torch.arange(channels * width, device=keys.device).reshape(channels, 1, width)
    return _signs(random.fold(keys, "stripes")[:, None, None, None], places).to(like.dtype).expand(-1, *shape)


def _signs(keys: Tensor, places: Tensor) -> Tensor:
    return torch.where(random.bernoulli(keys, places, 0.5), 1.0, -1.0)


def _reach(ball: Ball, signs: Float[Tensor, "B channels H W"]) -> Float[Tensor, "B ..."]:
    return ball.epsilon * signs.reshape(ball.inputs.shape) / ball.unit


def _as_image(shape: torch.Size) -> tuple[int, int, int]:
    """``(C, H, W)`` of one example; a vector is one row."""
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (1, 1, math.prod(shape))
