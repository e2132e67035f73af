"""A labelled set of images with splits, checked when it is made."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epochal.core.values.errors import UserError

SPLITS = ("train", "val", "test")


class Examples(NamedTuple):
    """``images`` uint8 ``[N, H, W, C]`` with C 1 (grey) or 3 (red, green, blue), ``labels`` int64 ``[N]``."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """``train`` is always there; ``val`` and ``test`` where the source has them.

    ``class_names[label]`` is what a label means.

    Raises:
        UserError: no training images, images of different shapes, labels outside the classes.
    """

    name: str
    splits: Mapping[str, Examples]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if "train" not in self.splits:
            raise UserError(
                f"{self.name} has no training images; it has {', '.join(self.splits) or 'nothing'}"
            )
        for split, (images, labels) in self.splits.items():
            assert split in SPLITS and images.dtype == np.uint8 and labels.dtype == np.int64
            self._check(split, images, labels)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(H, W, C)``."""
        height, width, channels = self.splits["train"].images.shape[1:]
        return height, width, channels

    def size(self, split: str) -> int:
        return len(self.splits[split].labels) if split in self.splits else 0

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over shapes, pixels and labels of every split: equal whatever file they came from."""
        digest = hashlib.sha256()
        for split in SPLITS:
            if split in self.splits:
                images, labels = self.splits[split]
                digest.update(f"{split}{images.shape}".encode())
                digest.update(np.ascontiguousarray(images).data)
                digest.update(labels.astype("<i8").tobytes())
        return digest.hexdigest()

    def _check(self, split: str, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        where = f"the {split} split of {self.name}"
        if len(images) == 0:
            raise UserError(f"{where} is empty; leave the split out, or give it images")
        if images.shape[1:] != self.image_shape:
            raise UserError(
                f"{where} has images of shape {images.shape[1:]}, the train split {self.image_shape}; "
                "give all splits the same height, width and channels"
            )
        if labels.min() < 0 or labels.max() >= self.num_classes:
            wrong = labels[(labels < 0) | (labels >= self.num_classes)]
            raise UserError(
                f"{where} has label {wrong[0]} ({len(wrong)} out of range); labels of {self.num_classes} "
                "classes "
                f"go from 0 to {self.num_classes - 1}"
            )


def examples(images: NDArray[Any], labels: NDArray[Any], *, where: str) -> Examples:
    """Arrays as a file holds them, in our form: grey images get a channel axis, labels ``[N, 1]`` lose one.

    Raises:
        UserError: another dtype, another number of axes, or not one label per image; ``where`` opens
            the line.
    """
    if images.dtype != np.uint8:
        raise UserError(f"{where}: images are {images.dtype}, expected uint8 (0 to 255); convert them first")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape[1:]:
        raise UserError(
            f"{where}: images have shape {images.shape}, expected (N, H, W) for grey, or (N, H, W, C) with "
            "C 1 or 3"
        )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
        raise UserError(
            f"{where}: labels are {labels.dtype} of shape {labels.shape}, expected whole numbers of shape "
            "(N,) "
            "or (N, 1), one class per image"
        )
    if len(labels) != len(images):
        raise UserError(
            f"{where}: {len(images)} images but {len(labels)} labels; expected one label per image"
        )
    return Examples(np.ascontiguousarray(images), labels.astype(np.int64))


def numbered(splits: Mapping[str, Examples]) -> tuple[str, ...]:
    """Class names for a set that brings none: ``"0"`` up to the largest label."""
    largest = max((int(labels.max()) for _, labels in splits.values() if len(labels)), default=0)
    return tuple(str(label) for label in range(largest + 1))
