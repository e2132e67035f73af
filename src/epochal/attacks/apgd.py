"""Auto-PGD: momentum, and a step that halves itself where it stopped helping; nothing to tune."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.attacks.ball import Ball, Norm, Pixels, example_keys, unbounded
from epochal.attacks.losses import cross_entropy, dlr
from epochal.attacks.search import Best, Predict, chosen, margin_at, slope_at
from epochal.core.tensors import random
from epochal.core.tensors.random import Key

LOSSES = {"ce": cross_entropy, "dlr": dlr}
MOMENTUM = 0.75
LEAST_RISES = 0.75


def apgd(
    predict: Predict,
    inputs: Float[Tensor, "B ..."],
    targets: Int64[Tensor, " B"],
    key: Key,
    *,
    epsilon: float | Float[Tensor, ""],
    norm: Norm = "linf",
    where: Pixels | None = None,
    steps: int = 100,
    restarts: int = 1,
    loss: str = "ce",
) -> Float[Tensor, "B ..."]:
    """Untargeted, with the loss ``ce`` or ``dlr``; gives each example's point of largest margin.

    Steps start at ``2 epsilon``. At each checkpoint an example's step halves, and it goes back to its point
    of largest loss, if fewer than 3/4 of the steps since the last checkpoint raised the loss, or if neither
    the step nor the largest loss changed between checkpoints. Every example has its own step and restarts by
    ``torch.where``: no shape depends on data.

    Source: Croce & Hein 2020, algorithm 1.
    """
    ball = Ball(inputs, epsilon, norm, where or unbounded(inputs))
    best = Best(inputs, margin_at(predict, inputs, targets))
    for restart in range(restarts):
        keys = example_keys(random.fold(random.fold(key, "start"), restart), len(inputs))
        _ascend(predict, ball, targets, ball.random_point(keys), steps, loss, best)
    return best.points


def checkpoints(steps: int) -> list[int]:
    """Numbers of updates after which steps are reconsidered: ``ceil(p_j steps)``, p = 0, .22, ..."""
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    # Rounded first: .22 + .19 + .16 is a little more than .57.
    return sorted({math.ceil(round(share * steps, 6)) for share in shares[1:] if share < 1})


def _ascend(
    predict: Predict,
    ball: Ball,
    targets: Int64[Tensor, " B"],
    start: Float[Tensor, "B ..."],
    steps: int,
    loss: str,
    best: Best,
) -> None:
    """One run of the algorithm; all that it visits is seen by ``best``."""
    measure = LOSSES[loss]
    lead = (-1, *[1] * (start.ndim - 1))
    here, before = start, start
    slope = slope_at(predict, here, targets, measure)
    best.see(here, slope.margin)
    top, top_points, top_gradient = slope.loss, here, slope.gradient
    size = (2 * ball.epsilon).expand(len(start))
    rises = torch.zeros_like(slope.loss)
    size_then, top_then = size, top
    due, last = set(checkpoints(steps)), 0
    gradient, value = slope.gradient, slope.loss
    for update in range(1, steps + 1):
        ahead = ball.stepped(here, gradient, size.reshape(lead))
        if update > 1:
            ahead = ball.project(here + MOMENTUM * (ahead - here) + (1 - MOMENTUM) * (here - before))
        before, here = here, ahead
        slope = slope_at(predict, here, targets, measure)
        best.see(here, slope.margin)
        rises = rises + (slope.loss > value)
        gradient, value = slope.gradient, slope.loss
        is_top = value > top
        top = torch.maximum(value, top)
        top_points, top_gradient = chosen(is_top, here, top_points), chosen(is_top, gradient, top_gradient)
        if update in due:
            is_slow = rises < LEAST_RISES * (update - last)
            is_stuck = (size == size_then) & (top == top_then)
            halves = is_slow | is_stuck
            size_then, top_then = size, top
            size = torch.where(halves, size / 2, size)
            here, gradient = chosen(halves, top_points, here), chosen(halves, top_gradient, gradient)
            value = torch.where(halves, top, value)
            rises, last = torch.zeros_like(rises), update
