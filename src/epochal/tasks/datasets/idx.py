"""MNIST's own format: four idx files, plain or gzipped, under their official names.

An idx file is a magic number (two zero bytes, 8 for uint8, the number of axes), one big-endian uint32 per
axis, then the bytes. Source: LeCun, Cortes & Burges, "The MNIST database of handwritten digits".
"""

import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epochal.core.values.errors import UserError
from epochal.tasks.datasets.image_set import ImageSet, examples, numbered

STEMS = {"train": "train", "test": "t10k"}
UNSIGNED_BYTE = 0x08


def load_idx(
    folder: str | Path, *, name: str | None = None, class_names: Sequence[str] | None = None
) -> ImageSet:
    """The set in a folder; without ``class_names`` there are as many classes as the largest label says.

    Raises:
        UserError: a file is missing, truncated, too long, or not an idx file of bytes with the right axes.
    """
    folder = Path(folder)
    splits = {
        split: examples(
            read_idx(_find(folder, f"{stem}-images-idx3-ubyte"), axes=3),
            read_idx(_find(folder, f"{stem}-labels-idx1-ubyte"), axes=1),
            where=f"{folder}, {split}",
        )
        for split, stem in STEMS.items()
    }
    return ImageSet(
        name=name or folder.name,
        splits=splits,
        class_names=tuple(class_names) if class_names else numbered(splits),
    )


def read_idx(path: Path, *, axes: int) -> NDArray[np.uint8]:
    """One file of bytes.

    Raises:
        UserError: as above.
    """
    data = _contents(path)
    expected = UNSIGNED_BYTE << 8 | axes
    found = int.from_bytes(data[:4], "big")
    if len(data) < 4 or found != expected:
        raise UserError(
            f"{path} starts with 0x{data[:4].hex()}, expected 0x{expected:08x} (idx, bytes, {axes} axes); "
            "it is another kind of file: get it again"
        )
    header = 4 + 4 * axes
    if len(data) < header:
        raise UserError(f"{path} ends within its header ({len(data)} of {header} bytes); get it again")
    shape = struct.unpack(f">{axes}I", data[4:header])
    wanted, got = math.prod(shape), len(data) - header
    if got != wanted:
        trouble = "is truncated" if got < wanted else "is too long"
        raise UserError(f"{path} {trouble}: {got} bytes of data, expected {wanted} for {shape}; get it again")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _contents(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is a damaged or truncated gzip file ({error}); get it again") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the file's permissions") from error


def _find(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    there = ", ".join(sorted(path.name for path in folder.glob("*idx*"))) or "no idx file"
    raise UserError(f"{folder} has no {name} or {name}.gz (it has {there}); put the official file there")
