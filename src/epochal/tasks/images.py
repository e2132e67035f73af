"""Labelled images, kept on the device as uint8; crop and flip are functions of example and step.

An example's number counts through the splits in the order train, val, test, whatever is trained on. All
members of a pack read one tensor of pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.precision import wide
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields, Split
from epochal.core.values.errors import UserError
from epochal.tasks.datasets.image_set import SPLITS, ImageSet
from epochal.tasks.datasets.normalization import Normalization, statistics

_BYTES = 4  # of an int32
_CROPS = ["crop rows", "crop columns"]
ValSource = Literal["val", "test", "held-out part of train"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """Images ``[B, C, H, W]`` of ``dtype``, targets are labels; factors: ``label``, ``index``.

    ``n_train`` None trains on all images of the split ``train``, else on the first of a keyed order, so that
    larger sets contain smaller ones. ``val_source`` says what ``val_*`` is measured on: the set's own split
    ``val``; without one its ``test``; without either ``held_out_fraction`` of the training images, the same
    for every ``n_train`` (drawn from ``split_seed``).

    ``normalization="standard"`` gives ``(x / 255 - mean) / std`` per channel; ``mean`` and ``std`` (in units
    of x / 255) are those of all images of the split ``train`` unless given. ``"half"`` takes 1/2 for both: -1
    to 1. ``"raw"`` gives ``x / 255``, ``"compat"`` the constants of grok-adversarial
    (:mod:`epochal.tasks.datasets.normalization`).

    Training batches only: ``crop_padding`` pixels of black on each side and a window of the old size at a
    uniformly random place; with ``flip``, left and right exchanged with probability one half. In all
    batches then ``size_pixels`` (height, width) by bilinear interpolation without antialiasing, as torch's
    ``interpolate``, and ``channels=3`` repeats a grey image.

    Raises:
        UserError: ``n_train``, ``size``, ``channels``, ``mean`` or ``std`` does not fit the set.
    """

    image_set: ImageSet
    dtype: torch.dtype
    device: torch.device
    n_train: int | None = None
    held_out_fraction: float = 0.2
    normalization: Normalization = "standard"
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    crop_padding: int = 0
    flip: bool = False
    size_pixels: tuple[int, int] | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        name, own = self.image_set.name, self.image_set.image_shape[2]
        if self.n_train is not None and not 1 <= self.n_train <= self._num_trainable:
            held = " after holding out a part for val" if self._num_held_out else ""
            raise UserError(
                f"n_train={self.n_train} is outside 1 to {self._num_trainable}, the training images of "
                f"{name}{held}"
            )
        if not 0 < self.held_out_fraction < 1:
            raise UserError(f"held_out_fraction={self.held_out_fraction} is outside (0, 1); 0.2 is usual")
        if self.crop_padding < 0:
            raise UserError(
                f"crop_padding={self.crop_padding} is negative; 0 is no crop, 4 is usual for 32 x 32"
            )
        if self.size_pixels is not None and min(self.size_pixels) < 1:
            raise UserError(f"size_pixels={self.size_pixels} needs a height and a width of at least 1")
        if self.channels not in (None, own) and not (own == 1 and self.channels == 3):
            raise UserError(
                f"channels={self.channels} from the {own} of {name}: only grey (1) is made 3, by repeating"
            )
        for label, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != own:
                raise UserError(
                    f"{label} has {len(values)} values, {name} has {own} channels; give one per channel"
                )
        _, std = self.statistics
        if min(std) <= 0:
            raise UserError(f"std={std} of {name} is not positive; give std=..., or normalization=raw")

    @property
    def num_classes(self) -> int:
        return self.image_set.num_classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of the inputs."""
        height, width, channels = self.image_set.image_shape
        return (self.channels or channels, *(self.size_pixels or (height, width)))

    @property
    def num_inputs(self) -> int:
        channels, height, width = self.image_shape
        return channels * height * width

    @property
    def val_source(self) -> ValSource:
        splits = self.image_set.splits
        return "val" if "val" in splits else "test" if "test" in splits else "held-out part of train"

    @cached_property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel that are subtracted and divided by; (0, 1) for ``raw``."""
        mean, std = statistics(self.image_set, self.normalization)
        if self.normalization == "raw":
            return mean, std
        return tuple(self.mean or mean), tuple(self.std or std)

    def size(self, split: Split) -> int:
        match split:
            case "train":
                return self.n_train or self._num_trainable
            case "val":
                return self._num_held_out or self.image_set.size(self.val_source)
            case "test":
                return self.image_set.size("test")

    def index(self, split: Split, fields: Fields) -> Int64[Tensor, " N"]:
        num_all = self.image_set.size("train")
        if split == "train" and self.n_train is None and not self._num_held_out:
            return self._range("train")  # the same for all members: nothing is copied per member
        if split == "train" or (split == "val" and self._num_held_out):
            order = random.permutation(random.key(fields["split_seed"], "split"), num_all)
            return order[self._num_trainable :] if split == "val" else order[: self.size("train")]
        return self._range(self.val_source if split == "val" else split)

    def batch(self, index: Int64[Tensor, " B"], fields: Fields, key: Key, *, training: bool = False) -> Batch:
        is_augmented = training and (self.crop_padding > 0 or self.flip)
        pixels = self._augmented(index, key) if is_augmented else self._whole(index)
        label = self.labels(index)
        weight = torch.ones_like(label, dtype=torch.float32)
        factors = {"label": label, "index": index}
        return Batch(inputs=self._prepared(pixels), targets=label, weight=weight, factors=factors)

    def inputs_of(self, index: Int64[Tensor, " B"]) -> Float[Tensor, "B C H W"]:
        """As an evaluation sees them: not augmented."""
        return self._prepared(self._whole(index))

    def labels(self, index: Int64[Tensor, " B"]) -> Int64[Tensor, " B"]:
        return self._labels[index]

    def _augmented(self, index: Int64[Tensor, " B"], key: Key) -> Tensor:
        """``pixels[b, y, x] = image[y + dy, x + dx]`` in one gather, black outside; flipped last."""
        height, width, _ = self.image_set.image_shape
        y = torch.arange(height, device=index.device)[None, :]
        x = torch.arange(width, device=index.device)[None, :]
        names = (["flip"] if self.flip else []) + (_CROPS if self.crop_padding else [])
        # One hash for all of it: on a few hundred numbers the calls are what takes time.
        drawn = random.uniform(random.streams(key, names)[:, None], index[None, :], wide(index.device))
        if self.flip:
            x = torch.where(drawn[0, :, None] < 0.5, width - 1 - x, x)
        if self.crop_padding:
            moves = (drawn[-2:, :, None] * (2 * self.crop_padding + 1)).long() - self.crop_padding
            y, x = y + moves[0], x + moves[1]
        black = len(self._pixels) - 1  # any sum with a row or a column outside is at least this
        rows = torch.where((y >= 0) & (y < height), (index[:, None] * height + y) * width, black)
        columns = torch.where((x >= 0) & (x < width), x, black)
        place = (rows[:, :, None] + columns[:, None, :]).clamp(max=black)
        return self._channels_of(self._pixels[place])

    def _whole(self, index: Int64[Tensor, " B"]) -> Tensor:
        """Images as they are, ``[B, H, W, C]``."""
        height, width, _ = self.image_set.image_shape
        images = self._pixels[:-1].unflatten(0, (-1, height, width))
        return self._channels_of(images[index])

    def _channels_of(self, pixels: Tensor) -> Tensor:
        """From numbers of ``_pixels`` to the bytes of their channels, ``[..., C]``."""
        channels = self.image_set.image_shape[2]
        if channels == 1:
            return pixels[..., None]
        if channels > _BYTES:
            return pixels
        found: Tensor = pixels.view(torch.uint8).unflatten(-1, (-1, _BYTES))[..., :channels]
        return found

    def _prepared(self, pixels: Tensor) -> Float[Tensor, "B C H W"]:
        planes = pixels.movedim(-1, -3).to(self.dtype, memory_format=torch.contiguous_format)
        inputs = planes.mul_(self._scale).add_(self._offset)
        if self.size_pixels not in (None, self.image_set.image_shape[:2]):
            inputs = torch.nn.functional.interpolate(
                inputs, self.size_pixels, mode="bilinear", align_corners=False
            )
        if self.channels == 3 and inputs.shape[-3] == 1:
            inputs = inputs.expand(*inputs.shape[:-3], 3, *inputs.shape[-2:])
        return inputs.contiguous()

    def _range(self, split: str) -> Int64[Tensor, " N"]:
        before = {"train": (), "val": ("train",), "test": ("train", "val")}[split]
        start = sum(self.image_set.size(earlier) for earlier in before)
        return torch.arange(start, start + self.image_set.size(split), device=self.device)

    @property
    def _num_held_out(self) -> int:
        is_needed = self.val_source == "held-out part of train"
        return round(self.held_out_fraction * self.image_set.size("train")) if is_needed else 0

    @property
    def _num_trainable(self) -> int:
        return self.image_set.size("train") - self._num_held_out

    @cached_property
    def _pixels(self) -> Tensor:
        """One number per pixel, ``[N H W + 1]``, black last: up to four channels are the bytes of an int32.

        Gathering numbers takes a fifth of the time that gathering rows of three bytes does. With more
        channels ``[N H W + 1, C]``.
        """
        images = self._joined(0)
        channels = images.shape[-1]
        flat = torch.cat([images.reshape(-1, channels), images.new_zeros(1, channels)])
        if channels == 1:
            return flat[:, 0]
        if channels > _BYTES:
            return flat
        return torch.nn.functional.pad(flat, (0, _BYTES - channels)).view(torch.int32)[:, 0]

    @cached_property
    def _labels(self) -> Int64[Tensor, " N"]:
        return self._joined(1)

    def _joined(self, part: int) -> Tensor:
        """All splits' images (0) or labels (1), in the order of the numbers of examples."""
        splits = self.image_set.splits
        return torch.from_numpy(np.concatenate([splits[name][part] for name in SPLITS if name in splits])).to(
            self.device
        )

    @cached_property
    def _scale(self) -> Float[Tensor, "C 1 1"]:
        std = torch.tensor(self.statistics[1], dtype=torch.float64)
        return (1 / (255 * std)).to(self.device, self.dtype)[:, None, None]

    @cached_property
    def _offset(self) -> Float[Tensor, "C 1 1"]:
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in self.statistics)
        return (-mean / std).to(self.device, self.dtype)[:, None, None]
