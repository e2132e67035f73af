"""Where an attack may go: a ball around each example, within what pixels can be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.random import Key

Norm = Literal["linf", "l2"]
Space = Literal["raw", "normalized"]

HALVINGS = 40
"""Of the interval in which the Lagrange multiplier of a projection is looked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pixels:
    """The network's inputs in units of pixels: ``pixel = unit * input + ...``, inputs within ``low .. high``.

    All three broadcast against one example: ``[C, 1, 1]`` for images, or scalars.
    """

    unit: Tensor
    low: Tensor
    high: Tensor


def pixels(
    mean: Sequence[float],
    std: Sequence[float],
    *,
    dtype: torch.dtype,
    device: torch.device,
    space: Space = "raw",
) -> Pixels:
    """Of inputs ``(x / 255 - mean) / std``: pixels in [0, 1], per channel.

    ``space="normalized"`` measures the network's inputs themselves, within two numbers for all channels: the
    smallest and the largest that any of them can take, as grok-adversarial does. A channel may then leave
    [0, 1] there.
    """
    centre, width = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (mean, std))
    low, high = -centre / width, (1 - centre) / width
    if space == "normalized":
        width, low, high = torch.ones_like(width), low.amin().expand(1), high.amax().expand(1)
    unit, low, high = (value.to(device, dtype) for value in (width, low, high))
    return Pixels(unit=unit, low=low.reshape(-1, 1, 1), high=high.reshape(-1, 1, 1))


def unbounded(example: Tensor) -> Pixels:
    """Inputs are pixels, and may be any number."""
    one = example.new_ones(())
    return Pixels(unit=one, low=-math.inf * one, high=math.inf * one)


class Ball:
    """Points within ``epsilon`` of each of ``inputs [B, ...]``, and within what pixels can be.

    ``epsilon`` is a number, or a tensor that may differ among members under ``vmap``, in units of pixels. An
    input that lies outside the box, by rounding say, stays allowed: radius 0 gives the inputs to the bit.
    """

    def __init__(
        self, inputs: Float[Tensor, "B ..."], epsilon: float | Float[Tensor, ""], norm: Norm, where: Pixels
    ) -> None:
        self.inputs = inputs
        self.norm = norm
        self.epsilon = number(epsilon, inputs)
        self.unit = where.unit
        low, high = torch.minimum(where.low, inputs), torch.maximum(where.high, inputs)
        if norm == "linf":
            reach = self.epsilon / self.unit
            low, high = torch.maximum(low, inputs - reach), torch.minimum(high, inputs + reach)
        self.low, self.high = low, high

    def project(self, points: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        """The nearest point of ball and box, in the distance of the norm's own unit, exact in both norms.

        For L2 it is ``clamp(s d)`` for one number s per example: clamping after shrinking would fall short
        of the optimum where a bound is active.
        """
        if self.norm == "linf":
            return self._clamped(points)
        change = points - self.inputs
        least, most = torch.zeros_like(self._size(change)), torch.ones_like(self._size(change))
        is_inside = self._size(self._boxed(change)) <= self.epsilon
        for _ in range(HALVINGS):
            middle = (least + most) / 2
            fits = self._size(self._boxed(middle * change)) <= self.epsilon
            least, most = torch.where(fits, middle, least), torch.where(fits, most, middle)
        # A radius of 0 fits at s = 0 only: then the change is 0 and the input stays as it is.
        return self._clamped(self.inputs + self._boxed(torch.where(is_inside, 1.0, least) * change))

    def stepped(
        self,
        points: Float[Tensor, "B ..."],
        gradient: Float[Tensor, "B ..."],
        step: float | Float[Tensor, "..."],
    ) -> Float[Tensor, "B ..."]:
        """A step of this length, in units of pixels, in the direction that ascends fastest; projected."""
        if self.norm == "linf":
            return self.project(points + step * gradient.sign() / self.unit)
        slope = gradient / self.unit  # in pixels
        # Squares of the slopes of a confident network underflow: it is brought to size 1 first.
        slope = slope / _or_one(slope.abs().amax(tuple(range(1, slope.ndim)), keepdim=True))
        return self.project(points + step * slope / _or_one(_lengths(slope)) / self.unit)

    def random_point(self, keys: Int64[Tensor, " B"]) -> Float[Tensor, "B ..."]:
        """Uniform on the ball (L2: uniform direction, uniform in volume), then projected onto the box."""
        shape = self.inputs.shape[1:]
        own = keys.reshape(-1, *[1] * len(shape))
        places = torch.arange(math.prod(shape), device=keys.device).reshape(shape)
        if self.norm == "linf":
            drawn = 2 * random.uniform(own, places, self.inputs.dtype) - 1
            return self.project(self.inputs + self.epsilon * drawn / self.unit)
        drawn = random.normal(own, places, self.inputs.dtype)
        share = random.uniform(random.fold(own, "radius"), torch.zeros_like(own), drawn.dtype)
        radius = share ** (1 / math.prod(shape))
        return self.project(self.inputs + self.epsilon * radius * drawn / _lengths(drawn) / self.unit)

    def near(self, keys: Int64[Tensor, " B"], deviation: float) -> Float[Tensor, "B ..."]:
        """Gaussian noise of this deviation in units of pixels on the inputs, projected."""
        shape = self.inputs.shape[1:]
        places = torch.arange(math.prod(shape), device=keys.device).reshape(shape)
        drawn = random.normal(keys.reshape(-1, *[1] * len(shape)), places, self.inputs.dtype)
        return self.project(self.inputs + deviation * drawn / self.unit)

    def _clamped(self, points: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        return torch.minimum(torch.maximum(points, self.low), self.high)

    def _boxed(self, change: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        return torch.minimum(torch.maximum(change, self.low - self.inputs), self.high - self.inputs)

    def _size(self, change: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        return _lengths(change * self.unit)


def number(value: float | Float[Tensor, ""], like: Tensor) -> Float[Tensor, ""]:
    """As a tensor of the kind of ``like``."""
    if isinstance(value, Tensor):
        return value.to(like.device, like.dtype)
    return torch.tensor(value, dtype=like.dtype, device=like.device)


def example_keys(key: Key, count: int) -> Int64[Tensor, " B"]:
    """A key per example, of its number."""
    return random.fold(key.expand(count), torch.arange(count, device=key.device))


def _lengths(values: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
    """Euclidean, of each example, with axes of size 1 left in place."""
    flat: Tensor = torch.linalg.vector_norm(values.flatten(1), dim=1)
    return flat.reshape(-1, *[1] * (values.ndim - 1))


def _or_one(size: Tensor) -> Tensor:
    return torch.where(size == 0, 1.0, size)
