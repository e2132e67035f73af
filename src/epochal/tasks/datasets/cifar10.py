"""CIFAR-10: 32 x 32 colour photographs, ten classes; both official layouts, packed or extracted.

Batches ``data_batch_1`` .. ``5`` are training images, ``test_batch`` the test images, in this order; within a
record come 1,024 red, then green, then blue bytes, row by row. The python layout is a pickle: it is read by
an unpickler that knows how to build a NumPy array and nothing else. Source: Krizhevsky 2009, "Learning
multiple layers of features from tiny images", and www.cs.toronto.edu/~kriz/cifar.html.
"""

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epochal.core.values.errors import UserError
from epochal.tasks.datasets.array_pickle import load_arrays
from epochal.tasks.datasets.checksum import md5_of
from epochal.tasks.datasets.image_set import Examples, ImageSet, examples

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PYTHON_ARCHIVE, PYTHON_MD5 = "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"
BINARY_ARCHIVE, BINARY_MD5 = "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"
IMAGES_PER_BATCH = 10_000
PIXELS = 3 * 32 * 32


def load_cifar10(
    path: str | Path, *, verify: bool = True, images_per_batch: int | None = IMAGES_PER_BATCH
) -> ImageSet:
    """From an archive, an extracted folder, or a folder that holds one of these.

    ``verify`` compares an archive's MD5 with the official one; ``images_per_batch`` None admits batches of
    any size (cut copies).

    Raises:
        UserError: nothing is there, the checksum differs, or a batch is damaged, incomplete or asks for code.
    """
    path = Path(path)
    place, layout = _locate(path)
    if place.is_file():
        if verify and (found := md5_of(place)) != layout.md5:
            raise UserError(
                f"{place} has md5 {found}, the official {layout.archive} has {layout.md5}; remove it and "
                "get it again"
            )
        batches = _read_archive(place, layout.batch_names)
    else:
        batches = {name: _read_file(place / name) for name in layout.batch_names}
    read = [layout.parse(batches[name], f"{place}: {name}", images_per_batch) for name in layout.batch_names]
    train = Examples(*(np.concatenate(parts) for parts in zip(*read[:-1], strict=True)))
    return ImageSet(name="cifar10", splits={"train": train, "test": read[-1]}, class_names=CLASS_NAMES)


@dataclass(frozen=True, kw_only=True)
class _Layout:
    archive: str
    md5: str
    folder: str
    suffix: str
    parse: Callable[[bytes, str, int | None], Examples]

    @property
    def batch_names(self) -> tuple[str, ...]:
        stems = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
        return tuple(stem + self.suffix for stem in stems)


def _parse_python(data: bytes, where: str, images: int | None) -> Examples:
    content = load_arrays(data, where)
    if not isinstance(content, dict):
        raise UserError(
            f"{where} holds a {type(content).__name__}, expected a dictionary; get the file again"
        )
    fields = {key.decode() if isinstance(key, bytes) else key: value for key, value in content.items()}
    pixels, labels = fields.get("data"), fields.get("labels")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise UserError(f"{where} has no uint8 array 'data' of shape (N, {PIXELS}); get the file again")
    if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
        raise UserError(f"{where} has no list 'labels' of whole numbers; get the file again")
    if pixels.shape[1] != PIXELS:
        raise UserError(
            f"{where} has 'data' of shape {pixels.shape}, expected (N, {PIXELS}); get the file again"
        )
    _require_size(len(pixels), images, where)
    return examples(_as_images(pixels), np.array(labels, dtype=np.int64), where=where)


def _parse_binary(data: bytes, where: str, images: int | None) -> Examples:
    whole, rest = divmod(len(data), 1 + PIXELS)
    if rest or not whole:
        raise UserError(
            f"{where} is truncated or another kind of file: {len(data)} bytes, expected a multiple of "
            f"{1 + PIXELS}; "
            "get it again"
        )
    _require_size(whole, images, where)
    records = np.frombuffer(data, np.uint8).reshape(whole, 1 + PIXELS)
    return examples(_as_images(records[:, 1:]), records[:, 0], where=where)


_LAYOUTS = (
    _Layout(
        archive=PYTHON_ARCHIVE, md5=PYTHON_MD5, folder="cifar-10-batches-py", suffix="", parse=_parse_python
    ),
    _Layout(
        archive=BINARY_ARCHIVE, md5=BINARY_MD5, folder="cifar-10-batches-bin", suffix=".bin",
        parse=_parse_binary,
    ),
)  # fmt: skip


def _locate(path: Path) -> tuple[Path, _Layout]:
    """The archive or folder of batches, and its layout; python before binary, packed before extracted."""
    if path.is_file():
        for layout in _LAYOUTS:
            if path.name == layout.archive:
                return path, layout
        names = " or ".join(layout.archive for layout in _LAYOUTS)
        raise UserError(
            f"{path} is not named as an official archive; expected {names}, or an extracted folder"
        )
    for layout in _LAYOUTS:
        for place in (path / layout.archive, path / layout.folder, path):
            if place.is_file() or (place / layout.batch_names[0]).is_file():
                return place, layout
    raise UserError(
        f"no CIFAR-10 at {path}; expected {PYTHON_ARCHIVE}, {BINARY_ARCHIVE} or an extracted folder of one: "
        "`epochal data get cifar10` fetches it"
    )


def _read_archive(place: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """The wanted members by their last name; nothing is extracted to disk."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(place, "r:gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name in names and (file := archive.extractfile(member)) is not None:
                    found[name] = file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"{place} is a damaged or truncated archive ({error}); get it again") from error
    if missing := [name for name in names if name not in found]:
        raise UserError(f"{place} lacks {', '.join(missing)}; expected {', '.join(names)}: get it again")
    return found


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}; extract the official archive again"
        ) from error


def _require_size(found: int, expected: int | None, where: str) -> None:
    if expected is not None and found != expected:
        raise UserError(f"{where} has {found} images, expected {expected}; get the official file again")


def _as_images(records: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return records.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
