"""Records: every float exact, whole lines only, nothing lost."""

import math
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from epochal.core.values.errors import UserError
from epochal.store import RecordWriter, load_state, read_records
from tests.store.full_disk import Disk

SCHEMA = {
    "member": "int64",
    "step": "int64",
    "val_loss": "float64",
    "site_norm": "list[float64]",
    "note": "string",
    "hit": "bool",
}
ROWS: list[dict[str, Any]] = [
    {
        "member": 0,
        "step": 0,
        "val_loss": math.inf,
        "site_norm": [1.5, math.nan, -math.inf],
        "note": "é\n=;",
        "hit": True,
    },
    {"member": 1, "step": 0, "val_loss": -0.0, "site_norm": [], "note": None, "hit": False},
    {"member": 0, "step": 10, "val_loss": None, "site_norm": None, "note": "", "hit": None},
    {"member": 1, "step": 10, "val_loss": math.nan, "site_norm": [None, 0.1], "note": "[0]=inf", "hit": True},
]


def bits(value: object) -> object:
    """Equal exactly where the values are the same bit for bit, NaNs of any payload being one."""
    if isinstance(value, list):
        return [bits(item) for item in value]
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    return value


def same(frame: pl.DataFrame, rows: list[dict[str, Any]]) -> bool:
    return [{k: bits(v) for k, v in row.items()} for row in frame.to_dicts()] == [
        {k: bits(v) for k, v in row.items()} for row in rows
    ]


def write(path: Path, rows: list[dict[str, Any]], schema: dict[str, str] = SCHEMA) -> int:
    with RecordWriter(path, schema) as writer:
        writer.append(rows)
        return writer.offset


def test_rows_come_back_with_every_kind_of_value(tmp_path: Path) -> None:
    path = tmp_path / "metrics" / "pack-0.jsonl"
    assert write(path, ROWS) == path.stat().st_size
    frame = read_records(path, SCHEMA)
    assert same(frame, ROWS)
    assert dict(frame.schema) == (
        {
            "member": pl.Int64,
            "step": pl.Int64,
            "val_loss": pl.Float64,
            "site_norm": pl.List(pl.Float64),
            "note": pl.String,
            "hit": pl.Boolean,
        }
    )


def test_the_status_column_is_as_the_format_says(tmp_path: Path) -> None:
    write(tmp_path / "r", ROWS[:1])
    line = (tmp_path / "r").read_text()
    assert '"val_loss": null' in line
    assert line.endswith('"status": "val_loss=inf; site_norm[1]=nan; site_norm[2]=-inf"}\n')


@settings(max_examples=150, deadline=None)
@example([-0.0, 5e-324, 2.2250738585072009e-308, 1.7976931348623157e308, 1e23, math.nan, -math.inf])
@given(
    st.lists(
        st.integers(0, 2**64 - 1).map(lambda n: struct.unpack("<d", n.to_bytes(8, "little"))[0]), max_size=9
    )
)
def test_any_bit_pattern_round_trips(values: list[float]) -> None:
    rows = [{"member": i, "val_loss": x, "site_norm": values} for i, x in enumerate(values)]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "r", rows)
        frame = read_records(Path(folder) / "r", SCHEMA)
    assert same(frame.select("member", "val_loss", "site_norm"), rows)


def test_every_exponent_and_sign_round_trips(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mantissas = [0, 1, 2**51, 2**52 - 1, *rng.integers(0, 2**52, size=3).tolist()]
    patterns = [s << 63 | e << 52 | m for s in (0, 1) for e in range(2048) for m in mantissas]
    values = np.array(patterns, dtype=np.uint64).view(np.float64)
    schema = {"val_loss": "float64"}
    with RecordWriter(tmp_path / "r", schema) as writer:
        writer.append({"val_loss": x} for x in values)
    back = read_records(tmp_path / "r", schema)["val_loss"].to_numpy()
    finite = ~np.isnan(values)
    assert np.array_equal(back.view(np.uint64)[finite], values.view(np.uint64)[finite])
    assert np.isnan(back[~finite]).all()


def test_numpy_values_are_written_exactly(tmp_path: Path) -> None:
    x = np.float32(0.1)
    row = {
        "member": np.int32(3),
        "step": 2**63 - 1,
        "val_loss": x,
        "site_norm": np.array([x, np.inf]),
        "hit": np.True_,
    }
    write(tmp_path / "r", [row])
    want = {
        "member": 3,
        "step": 2**63 - 1,
        "val_loss": float(x),
        "site_norm": [float(x), math.inf],
        "note": None,
    }
    assert same(read_records(tmp_path / "r", SCHEMA), [want | {"hit": True}])


def test_cut_at_every_byte_whole_lines_remain_and_writing_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "r"
    write(path, ROWS)
    data = path.read_bytes()
    for length in range(len(data) + 1):
        whole = data[:length].count(b"\n")
        path.write_bytes(data[:length])
        assert same(read_records(path, SCHEMA), ROWS[:whole]), length
        with RecordWriter(path, SCHEMA) as writer:
            assert writer.offset == data[:length].rfind(b"\n") + 1
            writer.append(ROWS[whole:])
        assert path.read_bytes() == data, length


def test_resuming_cuts_at_the_offset_of_the_state(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with RecordWriter(path, SCHEMA) as writer:
        writer.append(ROWS[:2])
        offset = writer.offset
        writer.append(ROWS[2:])
        writer.sync()
    with RecordWriter(path, SCHEMA, offset) as writer:
        writer.append(ROWS[3:])
    assert same(read_records(path, SCHEMA), [*ROWS[:2], ROWS[3]])


@pytest.mark.parametrize("change", [-1, 10_000])
def test_an_offset_that_is_no_end_of_line_is_refused_and_cuts_nothing(tmp_path: Path, change: int) -> None:
    offset = write(tmp_path / "r", ROWS)
    with pytest.raises(UserError, match=r"holds no whole line up to byte .*; remove the resume folder"):
        RecordWriter(tmp_path / "r", SCHEMA, offset + change)
    assert same(read_records(tmp_path / "r", SCHEMA), ROWS)


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[: len(line) // 2] + b"\n",  # torn, then written on
        lambda line: b"\n",
        lambda line: bytes(len(line) - 1) + b"\n",  # what some file systems leave after a power cut
        lambda line: line[:-1] + line,  # a lost newline
        lambda line: line.replace(b'"step": 0', b'"step": "0x"'),
        lambda line: line.replace(b'"step": 0', b'"step": 0.5'),
        lambda line: line.replace(b"inf;", b"huge;"),
        lambda line: b"7\n",
    ],
    ids=["torn", "empty", "zeros", "joined", "string", "fraction", "status", "number"],
)
def test_a_broken_line_in_the_middle_is_named(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "pack-3.jsonl"
    write(path, [ROWS[1], ROWS[0], ROWS[2]])
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + damage(second) + third)
    with pytest.raises(
        UserError, match=r"pack-3\.jsonl line 2 is damaged \(.*\); restore .* delete that line"
    ) as error:
        read_records(path, SCHEMA)
    assert "\n" not in str(error.value)


def test_columns_follow_the_schema_of_the_reader(tmp_path: Path) -> None:
    write(tmp_path / "r", ROWS)
    frame = read_records([tmp_path / "r", tmp_path / "r"], {"later": "float32", "step": "int64"})
    assert frame.to_dict(as_series=False) == {"later": [None] * 8, "step": [0, 0, 10, 10] * 2}
    (tmp_path / "empty").touch()
    for paths in ([], [tmp_path / "empty"]):
        assert read_records(paths, SCHEMA).schema == read_records(tmp_path / "r", SCHEMA).schema


@pytest.mark.parametrize(
    "row",
    [
        {"loss": 1.0},
        {"val_loss": "1"},
        {"step": 1.5},
        {"step": 2**63},
        {"hit": 1},
        {"note": 3},
        {"val_loss": 1j},
    ],
    ids=str,
)
def test_what_does_not_fit_the_schema_is_refused_and_not_written(tmp_path: Path, row: dict[str, Any]) -> None:
    with RecordWriter(tmp_path / "r", SCHEMA) as writer:
        with pytest.raises(AssertionError):
            writer.append([ROWS[1], row])
        assert writer.offset == (tmp_path / "r").stat().st_size == 0


@pytest.mark.parametrize(
    "schema", [{"status": "string"}, {"a=b": "float64"}, {"a[0]": "float64"}, {"a": "float16"}]
)
def test_a_schema_that_cannot_be_kept_is_refused(tmp_path: Path, schema: dict[str, str]) -> None:
    with pytest.raises(AssertionError):
        RecordWriter(tmp_path / "r", schema)


def test_a_full_disk_loses_no_line_and_leaves_none_torn(disk: Disk) -> None:
    path = disk.folder / "pack-0.jsonl"
    with RecordWriter(path, SCHEMA) as writer:
        writer.append(ROWS)
        before = path.read_bytes()
        disk.fill()
        with pytest.raises(UserError, match=r"pack-0\.jsonl: .* wanted, .* free"):
            writer.append([ROWS[1] | {"note": "x" * 100_000}] * 3)
        assert path.read_bytes() == before
        assert writer.offset == len(before)
    assert same(read_records(path, SCHEMA), ROWS)


def test_all_rows_of_an_append_are_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = os.write

    def count(descriptor: int, data: memoryview) -> int:
        sizes.append(len(data))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", count)
    write(tmp_path / "r", ROWS * 50)
    assert sizes == [(tmp_path / "r").stat().st_size]


KILLED = """
import itertools, sys
from pathlib import Path
import numpy as np
from epochal.store import RecordWriter, save_state
folder = Path(sys.argv[1])
writer = RecordWriter(folder / "r", {"step": "int64", "values": "list[float64]"})
for step in itertools.count():
    writer.append({"step": step, "values": np.full(3000, 3 * step + i) / 7} for i in range(3))
    if step % 5 == 0:
        writer.sync()
        tensors = {"w": np.full((50, 50), step)}
        save_state(folder, 0, step, tensors, {}, record_offset=writer.offset)
    if step == 5:
        print(flush=True)
"""


@pytest.mark.parametrize("delay_seconds", np.random.default_rng(1).uniform(0, 0.1, size=5).round(4).tolist())
def test_a_killed_writer_leaves_a_prefix_and_a_state_that_fits_it(
    tmp_path: Path, delay_seconds: float
) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(delay_seconds)
        child.send_signal(signal.SIGKILL)
    schema = {"step": "int64", "values": "list[float64]"}
    frame = read_records(tmp_path / "r", schema)
    assert frame["step"].to_list() == [n // 3 for n in range(frame.height)]
    assert frame["values"].list.first().to_list() == [n / 7 for n in range(frame.height)]
    state, notes = load_state(tmp_path, 0, records=tmp_path / "r")
    assert state is not None and notes == []
    assert state.step % 5 == 0 and (state.tensors["w"] == state.step).all()
    with RecordWriter(tmp_path / "r", schema, state.record_offset):
        assert read_records(tmp_path / "r", schema)["step"].to_list() == [
            n // 3 for n in range(3 * (state.step + 1))
        ]
