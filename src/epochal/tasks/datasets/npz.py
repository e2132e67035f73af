"""MedMNIST's container: one ``.npz`` with ``{train,val,test}_{images,labels}``.

Images uint8 ``[N, H, W]`` (grey) or ``[N, H, W, 3]``, labels ``[N, 1]`` or ``[N]``. ``val`` and ``test``
may be missing. Source: Yang et al. 2023, "MedMNIST v2", Scientific Data 10:41, and medmnist.com.
"""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochal.core.values.errors import UserError
from epochal.tasks.datasets.image_set import SPLITS, Examples, ImageSet, examples, numbered

EXPECTED = "expected train_images, train_labels and, where there are any, val_* and test_*"


def load_npz(
    path: str | Path, *, name: str | None = None, class_names: Sequence[str] | None = None
) -> ImageSet:
    """The set in a file. Without ``class_names`` there are as many classes as the largest label says.

    Raises:
        UserError: the file is missing, damaged, lacks an array, holds objects, or an array does not fit.
    """
    path = Path(path)
    splits = _read(path)
    if "train" not in splits:
        raise UserError(f"{path} has no train_images; {EXPECTED}")
    return ImageSet(
        name=name or path.stem,
        splits=splits,
        class_names=tuple(class_names) if class_names else numbered(splits),
    )


def _read(path: Path) -> dict[str, Examples]:
    try:
        # np.load forgets to close a path it cannot make sense of.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise UserError(f"{path} holds one array (.npy), not an .npz; {EXPECTED}")
            return {split: pair for split in SPLITS if (pair := _split(archive, split, path)) is not None}
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; give the path of an .npz file") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, UserError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is no readable .npz ({reason}); get it again, or write it anew") from error


def _split(archive: Any, split: str, path: Path) -> Examples | None:
    names = (f"{split}_images", f"{split}_labels")
    missing = [name for name in names if name not in archive.files]
    if len(missing) == 2:
        return None
    if missing:
        raise UserError(f"{path} has no {missing[0]}, found {', '.join(archive.files)}; {EXPECTED}")
    images, labels = (_array(archive, name, path) for name in names)
    return examples(images, labels, where=f"{path}, {split}")


def _array(archive: Any, name: str, path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = archive[name]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise UserError(
                f"{path}: {name} holds Python objects, which may run code when read; expected plain numbers: "
                "save it as an array of uint8 or int64"
            ) from error
        raise
    return array
