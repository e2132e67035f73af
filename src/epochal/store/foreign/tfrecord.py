"""The framing of TFRecord files: length, checksum, payload, checksum."""

import struct
from collections.abc import Iterator
from pathlib import Path

from epochal.core.values.errors import UserError


def records(path: Path) -> Iterator[bytes]:
    """The payloads of a file, one by one; a torn one at the end, as a killed writer leaves it, ends them.

    Whoever needs to know whether the file was torn compares ``whole_bytes``.

    Raises:
        UserError: a checksum does not fit: the file is damaged, or no TFRecord file.

    Source: tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details".
    """
    data = path.read_bytes()
    at = 0
    while at + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        end = at + 16 + length
        if masked_crc32c(data[at : at + 8]) != struct.unpack_from("<I", data, at + 8)[0]:
            raise UserError(
                f"{path} is damaged at byte {at} (a length that does not fit its checksum), or no event "
                "file of TensorBoard; restore it from a copy"
            )
        if end > len(data):
            return
        payload = data[at + 12 : at + 12 + length]
        if masked_crc32c(payload) != struct.unpack_from("<I", data, end - 4)[0]:
            raise UserError(
                f"{path} is damaged at byte {at + 12} (a record that does not fit its checksum); restore it "
                "from a copy"
            )
        yield payload
        at = end


def whole_bytes(path: Path) -> int:
    """Bytes of the file up to the end of its last whole record."""
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at + 12 <= size:
            file.seek(at)
            (length,) = struct.unpack("<Q", file.read(8))
            if at + 16 + length > size:
                break
            at += 16 + length
    return at


def masked_crc32c(data: bytes) -> int:
    """The checksum as the format has it: rotated by 15 bits, plus a constant."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum (RFC 3720, B.4); of b"123456789" it is e3069283."""
    crc = 0xFFFFFFFF
    table = _TABLE
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _table() -> list[int]:
    rows = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        rows.append(crc)
    return rows


_TABLE = _table()
