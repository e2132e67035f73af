"""Handwritten digits that come with scikit-learn: 1,797 grey images of 8 x 8 pixels, ten classes.

Source: Alpaydin & Kaynak 1998, "Optical recognition of handwritten digits" (UCI, CC BY 4.0), the test part
of it, as `sklearn.datasets.load_digits` ships it. There is no official split: all are training images, and
the task holds a part of them out.
"""

import numpy as np

from epochal.tasks.datasets.image_set import ImageSet, examples


def load_digits() -> ImageSet:
    """Intensities 0 to 16 become 0 to 255, rounded."""
    from sklearn import datasets  # takes half a second

    bunch = datasets.load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return ImageSet(
        name="digits",
        splits={"train": examples(images, bunch.target, where="digits")},
        class_names=tuple(str(digit) for digit in range(10)),
    )
