"""The wire format of protocol buffers: as much of it as reading a few numbers needs."""

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """(field number, wire type, value) of a message: an integer for varints, bytes for all others.

    Raises:
        ValueError: the bytes are no message.

    Source: protobuf.dev/programming-guides/encoding.
    """
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = varint(data, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            length, at = varint(data, at)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + length > len(data):
            raise ValueError("a field that is longer than its message")
        yield number, kind, data[at : at + length]
        at += length


def varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned integer of seven bits per byte, lowest first, and where it ends."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number without an end")
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def signed(value: int) -> int:
    """An int64 that was written as a varint, in two's complement."""
    return value - (1 << 64) if value >= 1 << 63 else value


def messages(data: bytes, wanted: int) -> list[bytes]:
    """All values of one field that are messages, text or bytes."""
    return [value for number, kind, value in fields(data) if number == wanted and isinstance(value, bytes)]


def text(data: bytes, wanted: int) -> str:
    """The last value of a text field, empty where there is none."""
    found = messages(data, wanted)
    return found[-1].decode("utf-8", errors="replace") if found else ""


def floats(value: int | bytes, code: str) -> list[float]:
    """Numbers of a field that may be packed: ``code`` is that of ``struct``, f, d, e."""
    assert isinstance(value, bytes)
    size = struct.calcsize(code)
    return [float(v) for (v,) in struct.iter_unpack(f"<{code}", value[: len(value) // size * size])]


def varints(value: int | bytes) -> list[int]:
    """Integers of a field that may be packed."""
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        found.append(number)
    return found
