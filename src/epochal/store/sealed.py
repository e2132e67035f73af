"""Named arrays and JSON in one safetensors file that knows when a bit of it has changed.

The file is ordinary safetensors. Its header metadata carry ``contents``, a JSON text with the caller's
``meta`` and a BLAKE2b digest of every tensor (or of every row of every tensor, so that one member can be read
and checked without reading the others), and ``contents_digest`` of that text. The digests lie inside the file
they protect, so file and checksum cannot get out of step as a sidecar could.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import safe_open

Array = np.ndarray[Any, np.dtype[Any]]


class DamagedError(ValueError):
    """The file is cut short, does not parse, or does not agree with its digests."""


def seal(tensors: Mapping[str, Array], meta: Mapping[str, Any], *, by_row: bool) -> bytes:
    """The file's bytes. ``by_row`` digests each row of the first axis by itself.

    ``meta`` must be JSON (tuples come back as lists, keys as strings; NaN and infinities are allowed).
    """
    # order="C": safetensors writes the memory as it lies, so a transposed view would come back scrambled.
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    digests = {name: _row_digests(a) if by_row else _digest(a) for name, a in arrays.items()}
    contents = json.dumps({"by_row": by_row, "digests": digests, "meta": dict(meta)})
    return safetensors.numpy.save(arrays, {"contents": contents, "contents_digest": _text_digest(contents)})


def unseal(data: bytes) -> tuple[dict[str, Array], dict[str, Any]]:
    """All tensors and the meta, checked.

    Raises:
        DamagedError: any bit that matters has changed.
    """
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        contents = _checked_contents(header["__metadata__"])
        tensors = safetensors.numpy.load(data)
    except DamagedError:
        raise
    except Exception as error:  # there is no list of what parsers raise on arbitrary bytes
        raise DamagedError("cut short or unreadable") from error
    digests = contents["digests"]
    if tensors.keys() != digests.keys():
        raise DamagedError("checksum")
    for name, array in tensors.items():
        found = _row_digests(array) if contents["by_row"] else _digest(array)
        if found != digests[name]:
            raise DamagedError("checksum")
    return tensors, contents["meta"]


def read_meta(path: Path) -> dict[str, Any]:
    """The meta of the file at ``path``, checked; reads the header only.

    Raises:
        DamagedError: any bit of it has changed.
    """
    meta: dict[str, Any] = _open_contents(path)["meta"]
    return meta


def unseal_row(path: Path, row: int) -> dict[str, Array]:
    """Row ``row`` of every tensor of a file sealed by row, checked; reads these rows only.

    Raises:
        DamagedError: any bit of them has changed.
    """
    digests = _open_contents(path)["digests"]
    try:
        with safe_open(path, framework="numpy") as file:
            rows = {name: np.array(file.get_slice(name)[row : row + 1])[0, ...] for name in digests}
    except Exception as error:  # there is no list of what parsers raise on arbitrary bytes
        raise DamagedError("cut short or unreadable") from error
    if any(_digest(array) != digests[name][row] for name, array in rows.items()):
        raise DamagedError("checksum")
    return rows


def _open_contents(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
        return _checked_contents(metadata)
    except (DamagedError, FileNotFoundError):
        raise
    except Exception as error:  # there is no list of what parsers raise on arbitrary bytes
        raise DamagedError("cut short or unreadable") from error


def _checked_contents(metadata: Mapping[str, str]) -> dict[str, Any]:
    if _text_digest(metadata["contents"]) != metadata["contents_digest"]:
        raise DamagedError("checksum")
    contents: dict[str, Any] = json.loads(metadata["contents"])
    return contents


def _text_digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _row_digests(array: Array) -> list[str]:
    # array[i] of a vector would be a scalar, which forgets the bits of a bool beyond the first.
    return [_digest(array[i, ...]) for i in range(len(array))]


def _digest(array: Array) -> str:
    digest = hashlib.blake2b(f"{array.dtype.str}{array.shape}".encode(), digest_size=16)
    digest.update(np.asarray(array, order="C").reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
