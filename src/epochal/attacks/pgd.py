"""Projected gradient descent: steps uphill in the loss, back into the ball after each."""

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.attacks.ball import Ball, Norm, Pixels, example_keys, number, unbounded
from epochal.attacks.losses import Loss, cross_entropy
from epochal.attacks.search import Best, Predict, margin_at, slope_at
from epochal.core.tensors import random
from epochal.core.tensors.random import Key

Start = Literal["random", "input", "noise"]
START_NOISE = 0.001
"""Deviation of ``start="noise"`` in units of pixels (TRADES)."""


def pgd(
    predict: Predict,
    inputs: Float[Tensor, "B ..."],
    targets: Int64[Tensor, " B"],
    key: Key,
    *,
    epsilon: float | Float[Tensor, ""],
    norm: Norm = "linf",
    where: Pixels | None = None,
    steps: int = 10,
    restarts: int = 1,
    step_size: float | Float[Tensor, ""] = 0.0,
    start: Start = "random",
    loss: Loss = cross_entropy,
    keep: Literal["best", "last"] = "best",
) -> Float[Tensor, "B ..."]:
    """Untargeted; L-inf steps along the sign of the gradient, L2 along the gradient at length 1.

    ``step_size`` in units of pixels, 0 is ``2.5 epsilon / steps``. ``keep="best"`` gives, of all points that
    were visited in all restarts and the inputs themselves, each example's with the largest margin, so that
    neither more restarts nor more steps of the same size are ever weaker; ``"last"`` the last point of the
    last restart, one pass cheaper, as in training. The first restart has the same random numbers however many
    follow.

    Source: Madry et al. 2018; the default step of Engstrom et al. 2019 (robustness, 2.5 epsilon / steps).
    """
    ball = Ball(inputs, epsilon, norm, where or unbounded(inputs))
    size = number(step_size, inputs)
    size = torch.where(size > 0, size, 2.5 * ball.epsilon / max(steps, 1))
    best = Best(inputs, margin_at(predict, inputs, targets)) if keep == "best" else None
    points = inputs
    for restart in range(restarts):
        keys = example_keys(random.fold(random.fold(key, "start"), restart), len(inputs))
        match start:
            case "random":
                points = ball.random_point(keys)
            case "noise":
                points = ball.near(keys, START_NOISE)
            case "input":
                points = inputs
        for _ in range(steps):
            slope = slope_at(predict, points, targets, loss)
            if best is not None:
                best.see(points, slope.margin)
            points = ball.stepped(points, slope.gradient, size)
        if best is not None:
            best.see(points, margin_at(predict, points, targets))
    return points if best is None else best.points
