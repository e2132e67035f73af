"""What is stamped on an image as the shortcut: a coloured patch, a tint, a texture, one look per code.

It is stamped on finished inputs (resized, normalised), so that its size and colours are those of the inputs.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from epochal.core.values.errors import UserError
from epochal.tasks.shortcuts.colors import COLORS

CueKind = Literal["patch", "tint", "texture"]
Place = Literal["top_left", "top_right", "bottom_left", "bottom_right", "center"]
KINDS: tuple[str, ...] = get_args(CueKind)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cue:
    """``num_codes`` looks on images ``image_shape`` (C, H, W); code c looks the same on every image.

    ``patch``: a square of ``size`` pixels at ``place`` takes the colour of the code. ``tint``: that colour is
    added to every pixel. ``texture``: stripes with a period of ``size`` pixels are added to every pixel of
    every channel, ``sin(2 pi (x cos a + y sin a) / size)`` with the angle ``a = pi c / num_codes``, vertical
    ones first. All of it times ``strength``. ``colors`` are names of ``COLORS``, one per code; empty takes
    the first of them.

    Source of ``patch`` with its defaults: CausalGrok's spurious patch (codes 0 and 1 red and blue).

    Raises:
        UserError: too few or unknown colours, colours on grey images, a patch larger than the image.
    """

    kind: CueKind
    num_codes: int
    image_shape: tuple[int, int, int]
    dtype: torch.dtype
    device: torch.device
    size: int = 4
    place: Place = "top_left"
    colors: tuple[str, ...] = ()
    strength: float = 1.0

    def __post_init__(self) -> None:
        channels, height, width = self.image_shape
        if self.kind == "patch" and self.size > min(height, width):
            raise UserError(f"patch_size={self.size} is larger than the images, which are {height} x {width}")
        if self.kind == "texture" and self.size < 2:
            raise UserError(
                f"patch_size={self.size}: stripes of cue=texture need a period of 2 pixels or more"
            )
        if self.kind == "texture":
            return
        names = self.names
        if len(names) < self.num_codes:
            given = f"cue_colors={','.join(self.colors)}" if self.colors else f"cue={self.kind}"
            raise UserError(
                f"{given} has {len(names)} colours for {self.num_codes} classes; give one per class, or "
                "cue=texture"
            )
        grey = [name for name, color in COLORS.items() if len(set(color)) == 1]
        if channels == 1 and (colored := [name for name in names[: self.num_codes] if name not in grey]):
            raise UserError(
                f"cue={self.kind} is {colored[0]} and the images are grey: give channels=rgb, or "
                f"cue_colors of {', '.join(grey)}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Of the colours, by code."""
        return self.colors or tuple(COLORS)

    @cached_property
    def mask(self) -> Bool[Tensor, "H W"]:
        """Where it lies."""
        _, height, width = self.image_shape
        if self.kind != "patch":
            return torch.ones(height, width, dtype=torch.bool, device=self.device)
        bottom, right = height - self.size, width - self.size
        top, left = {
            "top_left": (0, 0),
            "top_right": (0, right),
            "bottom_left": (bottom, 0),
            "bottom_right": (bottom, right),
            "center": (bottom // 2, right // 2),
        }[self.place]
        mask = torch.zeros(height, width, dtype=torch.bool, device=self.device)
        mask[top : top + self.size, left : left + self.size] = True
        return mask

    def stamped(
        self, inputs: Float[Tensor, "B C H W"], code: Int64[Tensor, " B"]
    ) -> Float[Tensor, "B C H W"]:
        """A new tensor; codes are below ``num_codes``."""
        look = self._looks[code]
        return torch.where(self.mask, look, inputs) if self.kind == "patch" else inputs + look

    @cached_property
    def _looks(self) -> Float[Tensor, "K C h w"]:
        """By code; ``h`` and ``w`` are 1 where all pixels look the same."""
        looks = self._stripes() if self.kind == "texture" else self._colors()
        return (self.strength * looks).to(self.device, self.dtype)

    def _colors(self) -> Float[Tensor, "K C 1 1"]:
        colors = [COLORS[name] for name in self.names[: self.num_codes]]
        return torch.tensor(colors, dtype=torch.float64)[:, : self.image_shape[0], None, None]

    def _stripes(self) -> Float[Tensor, "K 1 H W"]:
        _, height, width = self.image_shape
        y = torch.arange(height, dtype=torch.float64)[:, None]
        x = torch.arange(width, dtype=torch.float64)
        angles = [math.pi * code / self.num_codes for code in range(self.num_codes)]
        waves = [x * math.cos(angle) + y * math.sin(angle) for angle in angles]
        return torch.sin(2 * math.pi / self.size * torch.stack(waves))[:, None]
