"""Snapshots: each member gets its own rows, checked."""

from pathlib import Path

import numpy as np
import pytest

from epochal.core.values.errors import UserError
from epochal.store import load_member_snapshot, load_snapshot, save_snapshot, snapshot_steps
from epochal.store.sealed import Array, DamagedError, seal, unseal


def matrices(members: list[int], step: int) -> dict[str, Array]:
    """Rows that say whose they are."""
    column = np.array(members, dtype=np.float32)[:, None]
    return {
        "params": np.asfortranarray(column + 1000 * step + np.arange(4, dtype=np.float32) / 8),
        "buffers": np.zeros((len(members), 0)),
        "rule.alive": column[:, 0] % 2 == 0,
        "rule.kernel": (column[:, :, None] * np.ones((2, 3))).astype(np.int64),
    }


def test_members_get_their_rows_whatever_their_pack_and_place(tmp_path: Path) -> None:
    for step in (0, 16):
        for pack, members in enumerate(([4, 0], [3, 1, 2])):
            save_snapshot(
                tmp_path, pack, step, matrices(members, step), members=members, meta={"kind": "mlp"}
            )
    assert (tmp_path / "step-00000016-pack-1.safetensors").exists()
    assert snapshot_steps(tmp_path) == [0, 16]
    for step in (0, 16):
        for member in range(5):
            rows = load_member_snapshot(tmp_path, member, step)
            want = {name: array[0] for name, array in matrices([member], step).items()}
            assert rows.keys() == want.keys()
            for name, row in rows.items():
                assert row.dtype == want[name].dtype and row.shape == want[name].shape, name
                assert np.array_equal(row, want[name]), name
    whole = load_snapshot(tmp_path, 1, 16)
    assert (whole.pack, whole.step, whole.members, whole.meta) == (1, 16, (3, 1, 2), {"kind": "mlp"})
    assert np.array_equal(whole.tensors["params"], matrices([3, 1, 2], 16)["params"])


def test_what_is_not_there_is_named_with_the_nearest_steps(tmp_path: Path) -> None:
    assert snapshot_steps(tmp_path / "nowhere") == []
    with pytest.raises(UserError, match=r"no snapshot of member 0 at step 3 .* the run has none"):
        load_member_snapshot(tmp_path, 0, 3)
    for step in (1, 2, 4, 8, 16, 32, 64):
        save_snapshot(tmp_path, 0, step, matrices([0], step), members=[0])
    with pytest.raises(UserError, match=r"no snapshot of member 0 at step 10 .* are 1, 2, 4, 8, 16"):
        load_member_snapshot(tmp_path, 0, 10)
    with pytest.raises(UserError, match=r"no snapshot of member 1 at step 8"):
        load_member_snapshot(tmp_path, 1, 8)
    with pytest.raises(UserError, match="no snapshot of pack 7 at step 8"):
        load_snapshot(tmp_path, 7, 8)


def test_a_flipped_bit_anywhere_is_noticed() -> None:
    data = seal(matrices([0, 1], 8), {"members": [0, 1]}, by_row=True)
    for position in range(len(data)):
        for bit in range(8):
            with pytest.raises(DamagedError):
                unseal(flipped(data, position, bit))


def test_damage_spoils_the_member_it_belongs_to_and_no_other(tmp_path: Path) -> None:
    path = save_snapshot(tmp_path, 0, 8, matrices([0, 1], 8), members=[0, 1])
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    sound: dict[int, list[int]] = {}
    for position in [*range(0, header, 13), *range(header, len(data))]:
        path.write_bytes(flipped(data, position, bit=1))
        with pytest.raises(
            UserError, match=r"step-00000008-pack-0\.safetensors is damaged \(.*\); restore it"
        ):
            load_snapshot(tmp_path, 0, 8)
        sound[position] = [member for member in (0, 1) if reads(tmp_path, member)]
    assert all(members == [] for position, members in sound.items() if position < header)
    assert all(len(members) == 1 for position, members in sound.items() if position >= header)
    assert {tuple(members) for members in sound.values()} == {(), (0,), (1,)}


def flipped(data: bytes, position: int, bit: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]


def reads(directory: Path, member: int) -> bool:
    """Whether the member's rows are given out; then they are right."""
    try:
        rows = load_member_snapshot(directory, member, 8)
    except UserError:
        return False
    assert all(np.array_equal(rows[name], array[0]) for name, array in matrices([member], 8).items())
    return True


def test_a_matrix_with_a_row_too_many_is_our_own_bug(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="params"):
        save_snapshot(tmp_path, 0, 8, matrices([0, 1, 2], 8), members=[0, 1])
    assert snapshot_steps(tmp_path) == []
