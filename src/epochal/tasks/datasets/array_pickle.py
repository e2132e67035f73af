"""Reads pickles of NumPy arrays, numbers, strings, lists and dictionaries, and runs nothing else.

A pickle is a program that may import and call anything. This unpickler resolves four names, all of which
build plain arrays, and refuses every other one before anything is called.
"""

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from epochal.core.values.errors import UserError


def load_arrays(data: bytes, where: str) -> Any:
    """What the pickle holds; strings of Python 2 come as bytes. ``where`` opens the line of an error.

    Raises:
        UserError: the pickle is damaged, or wants anything but arrays and plain values.
    """
    try:
        return _ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
    except _RefusedError as refused:
        raise UserError(
            f"{where} wants to use {refused}, which an array does not need: not read, since it may run code; "
            "get the official file again"
        ) from None
    except Exception as error:  # a damaged pickle can fail in any way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{where} is a damaged or truncated pickle ({reason}); get it again") from error


class _RefusedError(Exception):
    """The name that was asked for."""


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError("a persistent object")


def _encode(text: str, encoding: str) -> bytes:
    """Bytes as Python 3 writes them into old protocols."""
    if encoding != "latin1":
        raise _RefusedError(f"the codec {encoding}")
    return text.encode("latin1")


# numpy 2 moved the function; files name the place it had when they were written.
_reconstruct: Any = np.zeros(0).__reduce__()[0]
_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
}
