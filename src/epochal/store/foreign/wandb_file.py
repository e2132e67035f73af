"""What W&B keeps of an offline run: the history and the configuration in ``run-ID.wandb``."""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from epochal.core.values.errors import UserError
from epochal.store.foreign import protobuf
from epochal.store.foreign.log import Log, Value
from epochal.store.foreign.tables import as_columns, flattened

HEADER = b":W&B"
HEADER_BYTES, BLOCK_BYTES = 7, 32768
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
# Field numbers of wandb_internal.proto: Record, HistoryRecord, HistoryItem, ConfigRecord, RunRecord.
HISTORY, CONFIG, RUN = 2, 5, 17
ITEM, ITEM_KEY, ITEM_NESTED, ITEM_JSON = 1, 1, 2, 16
RUN_CONFIG, RUN_ID = 4, 1


def read_wandb(path: Path) -> Log:
    """The history of an offline run, a row per ``wandb.log``; its configuration as fields.

    Raises:
        UserError: no such file, of another version, or without a history.
    """
    rows: list[dict[str, object]] = []
    config: dict[str, object] = {}
    payloads = Payloads(path)
    try:
        for payload in payloads:
            for number, _, value in protobuf.fields(payload):
                if number == HISTORY and isinstance(value, bytes):
                    rows.append(items(value))
                elif number == CONFIG and isinstance(value, bytes):
                    config |= items(value)
                elif number == RUN and isinstance(value, bytes):
                    for message in protobuf.messages(value, RUN_CONFIG):
                        config |= items(message)
    except ValueError as error:
        raise UserError(f"{path} is no offline run of W&B ({error}); export its history as CSV") from error
    if not rows:
        raise UserError(f"{path} holds no history: nothing was logged in this run")
    config.pop("_wandb", None)
    fields: dict[str, Value] = {
        name: value
        for name, value in flattened(config).items()
        if value is None or isinstance(value, str | bool | int | float)
    }
    notes = (f"{path.name}: a torn record at the end was left out",) if payloads.is_torn else ()
    frame = pl.DataFrame(as_columns([flattened(row) for row in rows], path, first_line=1))
    return Log(path=path, program="W&B", frame=frame, fields=fields, notes=notes)


def items(message: bytes) -> dict[str, object]:
    """Key to value of a history or configuration record."""
    found: dict[str, object] = {}
    for item in protobuf.messages(message, ITEM):
        nested = [part.decode() for part in protobuf.messages(item, ITEM_NESTED)]
        key, value = protobuf.text(item, ITEM_KEY) or ".".join(nested), protobuf.text(item, ITEM_JSON)
        if key and value:
            found[key] = json.loads(value)
    return found


class Payloads:
    """Records of a file in LevelDB's log format: blocks of 32 kB, a checksum, length and type before each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_torn = False
        self._data = path.read_bytes()
        if self._data[:4] != HEADER:
            raise UserError(f"{path} is no offline run of W&B: it does not begin with {HEADER.decode()}")
        if len(self._data) < HEADER_BYTES or self._data[6] != 0:
            raise UserError(f"{path} has a version that is not known here; export its history as CSV")

    def __iter__(self) -> Iterator[bytes]:
        data, at, parts = self._data, HEADER_BYTES, list[bytes]()
        while at + 7 <= len(data):
            room = BLOCK_BYTES - at % BLOCK_BYTES
            if room < 7:  # too little for a header: padding
                at += room
                continue
            checksum, length, kind = struct.unpack_from("<IHB", data, at)
            chunk = data[at + 7 : at + 7 + length]
            if kind == 0 and length == 0:
                at += room
                continue
            if len(chunk) < length:
                break
            if zlib.crc32(chunk, zlib.crc32(bytes([kind]))) != checksum:
                raise UserError(f"{self.path} is damaged at byte {at}; restore it from a copy")
            at += 7 + length
            parts = [*parts, chunk] if kind in (MIDDLE, LAST) else [chunk]
            if kind in (FULL, LAST):
                yield b"".join(parts)
                parts = []
        self.is_torn = at < len(data) or bool(parts)
