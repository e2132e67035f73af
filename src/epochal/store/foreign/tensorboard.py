"""Scalars of TensorBoard's event files, without TensorBoard."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from epochal.core.values.errors import UserError
from epochal.store.foreign import protobuf
from epochal.store.foreign.log import Log
from epochal.store.foreign.tfrecord import records, whole_bytes

# Field numbers of tensorflow/core: Event, Summary, Summary.Value, TensorProto.
STEP, SUMMARY = 2, 5
VALUE = 1
TAG, SIMPLE_VALUE, TENSOR = 1, 2, 8
DTYPE, CONTENT, HALF, FLOAT, DOUBLE, INT, INT64, BOOL = 1, 4, 13, 5, 6, 7, 10, 11
CODES = {1: "f", 2: "d", 3: "i", 4: "B", 9: "q", 10: "?", 19: "e", 22: "I", 23: "Q"}
"""``struct`` code of each DataType that can hold a scalar; bfloat16 (14) is the upper half of a float32."""


def read_events(folder: Path, files: Sequence[Path]) -> Log:
    """All scalars of the event files of one folder: ``step`` and a column per tag.

    Several files are one run that was resumed, in the order of their names, which begin with their time; a
    step that was logged again has its later value, as TensorBoard shows it. Pictures, histograms and text are
    left out. Steps are as they were logged.

    Raises:
        UserError: a damaged file, or no scalar in any.
    """
    values: dict[str, dict[int, float]] = {}
    notes = []
    for path in sorted(files, key=lambda file: file.name):
        try:
            for payload in records(path):
                for step, tag, value in scalars(payload):
                    values.setdefault(tag, {})[step] = value
        except ValueError as error:
            raise UserError(
                f"{path} is no event file of TensorBoard ({error}); give files named *tfevents*"
            ) from error
        if torn := path.stat().st_size - whole_bytes(path):
            notes.append(f"{path.name}: a torn record of {torn} bytes at the end was left out")
    if not values:
        raise UserError(f"{folder} holds no scalar that TensorBoard would draw: nothing to analyse")
    steps = sorted({step for column in values.values() for step in column})
    columns = {tag: [column.get(step) for step in steps] for tag, column in values.items() if tag != "step"}
    frame = pl.DataFrame({"step": steps, **columns})
    return Log(path=folder, program="TensorBoard", frame=frame, step_column="step", notes=tuple(notes))


def scalars(event: bytes) -> Iterator[tuple[int, str, float]]:
    """(step, tag, value) of every scalar of an event.

    Raises:
        ValueError: the bytes are no event.
    """
    step, summaries = 0, []
    for number, kind, value in protobuf.fields(event):
        if number == STEP and kind == protobuf.VARINT:
            assert isinstance(value, int)
            step = protobuf.signed(value)
        elif number == SUMMARY and isinstance(value, bytes):
            summaries.append(value)
    for summary in summaries:
        for entry in protobuf.messages(summary, VALUE):
            found = None
            for number, kind, value in protobuf.fields(entry):
                if number == SIMPLE_VALUE and kind == protobuf.FIXED32:
                    [found] = protobuf.floats(value, "f")
                elif number == TENSOR and isinstance(value, bytes):
                    found = tensor_scalar(value)
            if found is not None:
                yield step, protobuf.text(entry, TAG), found


def tensor_scalar(tensor: bytes) -> float | None:
    """The number in a tensor of one number; None for text and for larger tensors."""
    dtype, found = 0, list[float]()
    for number, _, value in protobuf.fields(tensor):
        if number == DTYPE and isinstance(value, int):
            dtype = value
        elif number == CONTENT and isinstance(value, bytes) and value:
            found = contents(value, dtype)
        elif number == FLOAT:
            found += protobuf.floats(value, "f")
        elif number == DOUBLE:
            found += protobuf.floats(value, "d")
        elif number in (INT, INT64, BOOL):
            found += [float(protobuf.signed(v)) for v in protobuf.varints(value)]
        elif number == HALF:
            found += [half(v, dtype) for v in protobuf.varints(value)]
    return found[0] if len(found) == 1 else None


def contents(value: bytes, dtype: int) -> list[float]:
    if dtype == 14:
        return [half(v, dtype) for (v,) in struct.iter_unpack("<H", value)] if len(value) == 2 else []
    code = CODES.get(dtype)
    # A larger tensor is no scalar, whatever is in it.
    return protobuf.floats(value, code) if code and len(value) == struct.calcsize(code) else []


def half(bits: int, dtype: int) -> float:
    """float16, or bfloat16, from its bits."""
    raw = struct.pack("<I", bits << 16) if dtype == 14 else struct.pack("<H", bits & 0xFFFF)
    return float(struct.unpack("<f" if dtype == 14 else "<e", raw)[0])
