"""Snapshots: what the members of a pack were at one step, one row per member, kept for good."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epochal.core.values.errors import UserError
from epochal.store.atomic import write_file
from epochal.store.documents import check_format
from epochal.store.sealed import Array, DamagedError, read_meta, seal, unseal, unseal_row

SNAPSHOT_FORMAT = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """Row ``i`` of every tensor, ``[M, ...]``, belongs to member ``members[i]``."""

    pack: int
    step: int
    members: tuple[int, ...]
    tensors: dict[str, Array]
    meta: dict[str, Any]


def save_snapshot(
    directory: Path,
    pack: int,
    step: int,
    tensors: Mapping[str, Array],
    *,
    members: Sequence[int],
    meta: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``directory/step-00001234-pack-K.safetensors`` whole; every tensor is ``[M, ...]``.

    ``directory`` is the run's ``snapshots`` folder, made if need be; ``meta`` is any JSON.

    Raises:
        UserError: the disk is full; nothing of the file remains.
    """
    for name, array in tensors.items():
        assert array.ndim >= 1 and len(array) == len(members), (
            f"{name} has shape {array.shape}, not {len(members)} rows"
        )
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"step-{step:08d}-pack-{pack}.safetensors"
    own = {"format": SNAPSHOT_FORMAT, "pack": pack, "step": step, "members": [int(m) for m in members]}
    write_file(path, seal(tensors, {**own, "meta": dict(meta or {})}, by_row=True))
    return path


def load_snapshot(directory: Path, pack: int, step: int) -> Snapshot:
    """All members of a pack at a step.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = directory / f"step-{step:08d}-pack-{pack}.safetensors"
    try:
        tensors, own = unseal(path.read_bytes())
    except FileNotFoundError as error:
        raise _missing(directory, f"pack {pack}", step) from error
    except DamagedError as error:
        raise _damaged(path, error) from error
    check_format(path, own, SNAPSHOT_FORMAT)
    return Snapshot(
        pack=own["pack"], step=own["step"], members=tuple(own["members"]), tensors=tensors, meta=own["meta"]
    )


def find_snapshot(directory: Path, member: int, step: int) -> Snapshot:
    """The snapshot at ``step`` of the pack that a member belongs to.

    Raises:
        UserError: there is none (with the nearest steps), or it is damaged.
    """
    for pack in packs_at(directory, step):
        found = load_snapshot(directory, pack, step)
        if member in found.members:
            return found
    raise _missing(directory, f"member {member}", step)


def load_member_snapshot(directory: Path, member: int, step: int) -> dict[str, Array]:
    """One member's rows at a step, ``[...]`` each. Reads and checks these rows only.

    Raises:
        UserError: there are none, or they are damaged.
    """
    for path in sorted(directory.glob(f"step-{step:08d}-pack-*.safetensors")):
        try:
            own = read_meta(path)
            check_format(path, own, SNAPSHOT_FORMAT)
            if member in own["members"]:
                return unseal_row(path, own["members"].index(member))
        except DamagedError as error:
            raise _damaged(path, error) from error
    raise _missing(directory, f"member {member}", step)


def has_member(directory: Path, member: int, step: int) -> bool:
    """Whether there is a readable snapshot of this member at ``step``."""
    for path in directory.glob(f"step-{step:08d}-pack-*.safetensors"):
        try:
            if member in read_meta(path)["members"]:
                return True
        except DamagedError:
            continue  # another pack's, or unreadable: then there is none to be had
    return False


def members_at(directory: Path, pack: int, step: int) -> list[int]:
    """The members that a pack's snapshot at ``step`` holds.

    Raises:
        UserError: it is damaged.
    """
    path = directory / f"step-{step:08d}-pack-{pack}.safetensors"
    try:
        return [int(member) for member in read_meta(path)["members"]]
    except DamagedError as error:
        raise _damaged(path, error) from error


def snapshot_steps(directory: Path, pack: int | None = None) -> list[int]:
    """Steps at which the pack, or at least one, has a snapshot; ascending; none without ``directory``."""
    names = os.listdir(directory) if directory.is_dir() else []
    matches = (_NAME.fullmatch(name) for name in names)
    return sorted({int(m["step"]) for m in matches if m and pack in (None, int(m["pack"]))})


def packs_at(directory: Path, step: int) -> list[int]:
    """The packs that have a snapshot at a step, ascending."""
    names = os.listdir(directory) if directory.is_dir() else []
    matches = (_NAME.fullmatch(name) for name in names)
    return sorted(int(m["pack"]) for m in matches if m and int(m["step"]) == step)


_NAME = re.compile(r"step-(?P<step>\d+)-pack-(?P<pack>\d+)\.safetensors")


def _missing(directory: Path, whose: str, step: int) -> UserError:
    steps = snapshot_steps(directory)
    near = sorted(sorted(steps, key=lambda s: abs(s - step))[:5])
    have = f"the nearest steps with one are {', '.join(map(str, near))}" if steps else "the run has none"
    return UserError(f"no snapshot of {whose} at step {step} in {directory}; {have}")


def _damaged(path: Path, error: DamagedError) -> UserError:
    return UserError(
        f"snapshot {path} is damaged ({error}); restore it from a copy, or use another step (each is a file)"
    )
