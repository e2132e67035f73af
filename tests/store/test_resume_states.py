"""Resume states: bit for bit, and damage is seen and said."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from epochal.core.values.errors import UserError
from epochal.store import RecordWriter, load_state, save_state, state_steps
from epochal.store.sealed import Array, DamagedError, seal, unseal
from tests.store.full_disk import Disk

TENSORS: dict[str, Array] = {
    "params": np.array([[0.0, -0.0, np.nan], [np.inf, 5e-324, -1 / 3]]),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "step": np.array(2**64 - 1, dtype=np.uint64),
    "frozen": np.array([True, False]),
    "buffers": np.zeros((2, 0), dtype=np.float16),
}
META = {"ema": [0.1, float("inf")], "nested": {"name": "é"}, "none": None}


def same(left: dict[str, Array], right: dict[str, Array]) -> bool:
    return left.keys() == right.keys() and all(
        left[k].dtype == right[k].dtype
        and left[k].shape == right[k].shape
        and left[k].tobytes() == right[k].tobytes()
        for k in left
    )


def test_a_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    path = save_state(tmp_path / "resume", 2, 1234, TENSORS, META, record_offset=99)
    assert path.name == "pack-2-step-00001234.safetensors"
    state, notes = load_state(tmp_path / "resume", 2)
    assert state is not None and notes == []
    assert (state.pack, state.step, state.record_offset, state.meta) == (2, 1234, 99, META)
    assert same(state.tensors, TENSORS)
    assert load_state(tmp_path / "resume", 1) == (None, [])
    assert load_state(tmp_path / "nowhere", 0) == (None, [])


def test_the_last_two_states_of_each_pack_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 99_999_999, 100_000_000):
        for pack in (1, 11):
            save_state(tmp_path, pack, step, {}, {}, record_offset=0)
    assert state_steps(tmp_path, 1) == state_steps(tmp_path, 11) == [99_999_999, 100_000_000]
    state, _ = load_state(tmp_path, 1)
    assert state is not None and state.step == 100_000_000


def test_going_back_drops_the_states_left_behind(tmp_path: Path) -> None:
    save_state(tmp_path, 0, 100, TENSORS, {}, record_offset=0)
    newest = save_state(tmp_path, 0, 200, TENSORS, {}, record_offset=0)
    newest.write_bytes(newest.read_bytes()[:-1])
    save_state(tmp_path, 0, 150, TENSORS, {}, record_offset=0)
    assert state_steps(tmp_path, 0) == [100, 150]


def test_a_flipped_bit_anywhere_is_noticed() -> None:
    data = seal(TENSORS, META, by_row=False)
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            with pytest.raises(DamagedError):
                unseal(bytes(changed))


def test_a_file_cut_anywhere_or_grown_is_noticed() -> None:
    data = seal(TENSORS, META, by_row=False)
    for damaged in [data[:length] for length in range(len(data))] + [data + b"\0", bytes(len(data))]:
        with pytest.raises(DamagedError):
            unseal(damaged)


def test_a_damaged_state_gives_way_to_the_one_before_and_is_named(tmp_path: Path) -> None:
    save_state(tmp_path, 0, 1200, TENSORS, {"old": True}, record_offset=0)
    path = save_state(tmp_path, 0, 1300, TENSORS, META, record_offset=7)
    data = path.read_bytes()
    for position in [0, 8, 20, 40, len(data) // 2, len(data) - 1]:
        path.write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
        state, notes = load_state(tmp_path, 0)
        assert state is not None and (state.step, state.meta) == (1200, {"old": True})
        note = rf"resume state .*{path.name} is damaged \(.+\), continuing from step 1200"
        assert len(notes) == 1 and re.fullmatch(note, notes[0])
    assert "(checksum)" in notes[0]


def test_with_all_states_damaged_it_says_that_it_starts_over(tmp_path: Path) -> None:
    for step in (1, 2):
        save_state(tmp_path, 0, step, TENSORS, {}, record_offset=0).write_bytes(b"")
    state, notes = load_state(tmp_path, 0)
    assert state is None
    assert [note.split(", ")[1] for note in notes] == ["starting over from step 0"] * 2
    assert "step-00000002" in notes[0] and "step-00000001" in notes[1]


def test_a_state_whose_records_are_gone_is_passed_over(tmp_path: Path) -> None:
    records = tmp_path / "r"
    with RecordWriter(records, {"step": "int64"}) as writer:
        for step in (1, 2):
            writer.append([{"step": step}])
            save_state(tmp_path, 0, step, TENSORS, {}, record_offset=writer.offset)
    os.truncate(records, writer.offset - 1)
    state, notes = load_state(tmp_path, 0, records=records)
    assert state is not None and state.step == 1
    assert "r does not reach to its byte" in notes[0]
    records.unlink()
    assert load_state(tmp_path, 0, records=records)[0] is None


def test_a_renamed_state_is_not_taken_for_another(tmp_path: Path) -> None:
    path = save_state(tmp_path, 0, 5, TENSORS, {}, record_offset=0)
    path.rename(tmp_path / "pack-1-step-00000009.safetensors")
    state, notes = load_state(tmp_path, 1)
    assert state is None and "it is of pack 0, step 5" in notes[0]


def test_an_unknown_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epochal.store.states.STATE_FORMAT", 2)
    save_state(tmp_path, 0, 5, TENSORS, {}, record_offset=0)
    monkeypatch.undo()
    with pytest.raises(
        UserError, match="has format 2, this version of epochal reads 1; open it with the version"
    ):
        load_state(tmp_path, 0)


def test_a_full_disk_leaves_the_older_states(disk: Disk) -> None:
    for step in (1, 2):
        save_state(disk.folder, 0, step, TENSORS, {}, record_offset=0)
    disk.fill()
    with pytest.raises(UserError, match=r"step-00000003\.safetensors: .* wanted, .* free"):
        save_state(disk.folder, 0, 3, {"w": np.zeros(20_000)}, {}, record_offset=0)
    state, notes = load_state(disk.folder, 0)
    assert state is not None and state.step == 2 and notes == []
    assert state_steps(disk.folder, 0) == [1, 2]
