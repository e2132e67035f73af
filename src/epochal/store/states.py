"""Resume states: everything a pack of members needs to go on, the last two of them on disk."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epochal.core.values.errors import UserError
from epochal.store.atomic import write_file
from epochal.store.documents import check_format
from epochal.store.records import ends_line
from epochal.store.sealed import Array, DamagedError, seal, unseal

STATE_FORMAT = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """A pack after ``step`` completed updates; ``record_offset`` bytes of its records belong to it."""

    pack: int
    step: int
    record_offset: int
    tensors: dict[str, Array]
    meta: dict[str, Any]


def save_state(
    directory: Path,
    pack: int,
    step: int,
    tensors: Mapping[str, Array],
    meta: Mapping[str, Any],
    *,
    record_offset: int,
) -> Path:
    """Write ``directory/pack-K-step-00001234.safetensors`` whole, then drop all but the last two of the pack.

    ``directory`` is the run's ``resume`` folder, made if need be; ``meta`` is any JSON. Sync the records
    before, or the state can be newer than what it quotes. States of later steps are dropped too: a run that
    went back to an earlier state has left them behind.

    Raises:
        UserError: the disk is full; the older states are untouched.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"pack-{pack}-step-{step:08d}.safetensors"
    own = {"format": STATE_FORMAT, "pack": pack, "step": step, "record_offset": record_offset}
    write_file(path, seal(tensors, {**own, "meta": dict(meta)}, by_row=False))
    steps = state_steps(directory, pack)
    kept = [s for s in steps if s <= step][-2:]
    for old in set(steps) - set(kept):
        (directory / f"pack-{pack}-step-{old:08d}.safetensors").unlink(missing_ok=True)
    return path


def load_state(directory: Path, pack: int, *, records: Path | None = None) -> tuple[State | None, list[str]]:
    """The newest sound state of a pack, or None, and one line for every newer file that is not sound.

    With ``records``, the pack's record file, a state is also passed over if that file does not reach to
    ``record_offset`` (a power cut can take its tail).

    Raises:
        UserError: a sound state of a format that this version does not read.
    """
    problems: list[tuple[Path, str]] = []
    state = None
    for step in reversed(state_steps(directory, pack)):
        path = directory / f"pack-{pack}-step-{step:08d}.safetensors"
        try:
            state = _read_state(path, pack, step, records)
            break
        except DamagedError as error:
            problems.append((path, str(error)))
    where = f"continuing from step {state.step}" if state else "starting over from step 0"
    return state, [f"resume state {path} is damaged ({problem}), {where}" for path, problem in problems]


def load_state_at(directory: Path, pack: int, step: int) -> State:
    """The state of a pack at one step.

    Raises:
        UserError: there is none, or it is damaged, or of a format that this version does not read.
    """
    path = directory / f"pack-{pack}-step-{step:08d}.safetensors"
    try:
        return _read_state(path, pack, step, None)
    except DamagedError as error:
        raise UserError(f"resume state {path} is damaged ({error}); restore it from a copy") from error


def state_steps(directory: Path, pack: int) -> list[int]:
    """Steps of the states of a pack that lie in ``directory``, ascending; none if it does not exist."""
    return sorted(step for found, step in all_state_steps(directory) if found == pack)


def all_state_steps(directory: Path) -> list[tuple[int, int]]:
    """(pack, step) of every state in ``directory``, told from file names alone."""
    names = os.listdir(directory) if directory.is_dir() else []
    matches = (_NAME.fullmatch(name) for name in names)
    return sorted((int(m["pack"]), int(m["step"])) for m in matches if m)


_NAME = re.compile(r"pack-(?P<pack>\d+)-step-(?P<step>\d+)\.safetensors")


def _read_state(path: Path, pack: int, step: int, records: Path | None) -> State:
    try:
        tensors, own = unseal(path.read_bytes())
    except OSError as error:
        raise DamagedError(f"cannot be read: {error.strerror}") from error
    check_format(path, own, STATE_FORMAT)
    if (own["pack"], own["step"]) != (pack, step):
        raise DamagedError(f"it is of pack {own['pack']}, step {own['step']}")
    if records is not None and not _reaches(records, own["record_offset"]):
        raise DamagedError(f"{records.name} does not reach to its byte {own['record_offset']}")
    return State(pack=pack, step=step, record_offset=own["record_offset"], tensors=tensors, meta=own["meta"])


def _reaches(records: Path, offset: int) -> bool:
    if not records.exists():
        return offset == 0
    descriptor = os.open(records, os.O_RDONLY)
    try:
        return ends_line(descriptor, offset)
    finally:
        os.close(descriptor)
