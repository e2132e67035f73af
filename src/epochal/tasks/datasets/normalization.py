"""What is subtracted from pixels and what they are divided by, per channel, in units of ``x / 255``."""

from typing import Literal

import numpy as np

from epochal.tasks.datasets.image_set import ImageSet

Normalization = Literal["standard", "half", "raw", "compat"]
Statistics = tuple[tuple[float, ...], tuple[float, ...]]

COMPAT: Statistics = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
"""Of grok-adversarial: CIFAR-10's means, with deviations that are smaller than those of its pixels."""

COMPAT_DEVIATION = 1.25
"""Of CIFAR-10's pixels after it: what ``compat`` gives images without three channels."""


def statistics(images: ImageSet, kind: Normalization) -> Statistics:
    """Mean and deviation per channel.

    ``standard``: of all pixels of the split ``train``, which become mean 0, deviation 1. ``half``: 1/2 and
    1/2, which makes pixels -1 to 1. ``raw``: 0 and 1. ``compat``: the constants of grok-adversarial, with
    which CIFAR-10 has mean 0 and deviation 1.25; grey images, which it has none for, get their own mean and
    that deviation.
    """
    channels = images.image_shape[2]
    if kind == "raw":
        return (0.0,) * channels, (1.0,) * channels
    if kind == "half":
        return (0.5,) * channels, (0.5,) * channels
    if kind == "compat" and channels == len(COMPAT[0]):
        return COMPAT
    mean, std = of_pixels(images)
    return (mean, tuple(s / COMPAT_DEVIATION for s in std)) if kind == "compat" else (mean, std)


def of_pixels(images: ImageSet) -> Statistics:
    """Exact: 256 possible values are counted, without a float copy of the images."""
    pixels = images.splits["train"].images.reshape(-1, images.image_shape[2])
    counts = np.stack([np.bincount(channel, minlength=256) for channel in pixels.T]).astype(np.float64)
    value = np.arange(256) / 255
    mean = counts @ value / len(pixels)
    std = np.sqrt(np.maximum(counts @ value**2 / len(pixels) - mean**2, 0))
    return tuple(mean.tolist()), tuple(std.tolist())
