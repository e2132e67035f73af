"""A run as one file: packed with the same bytes wherever it lies, unpacked without trusting the file."""

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from epochal.core.values.errors import UserError
from epochal.store.atomic import explain_disk_errors, sync_folder
from epochal.store.catalog import standing
from epochal.store.documents import read_spec
from epochal.store.lock import acquire, is_held, release
from epochal.store.paths import RunPaths
from epochal.store.scrub import Scrubber

LEFT_OUT = ("lock", "wandb")
"""Of this machine only: who works on the run, and the mirror's own files."""

CHUNK = 1 << 20
Progress = Callable[[int, int], object]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """``replaced`` maps absolute paths that stood in the run's text files to what stands there now."""

    path: Path
    num_bytes: int
    sha256: str
    replaced: dict[str, str]
    note: str


def pack(
    run: Path,
    target: Path,
    *,
    with_states: bool = False,
    free_fields: Sequence[str] = (),
    progress: Progress = lambda _done, _of: None,
) -> Packed:
    """Write the run to ``target`` as a ``.tar.gz`` of relative names; the same run gives the same bytes.

    Resume states stay away unless asked for. Absolute paths in its text files are replaced;
    ``free_fields`` names the spec's fields in which one may stand without being part of its identity.

    Raises:
        UserError: a process is at work on the run, an absolute path cannot be replaced, or the disk is full.
    """
    paths = RunPaths(run)
    spec = read_spec(run)
    if is_held(paths.lock):
        raise UserError(f"{run.name} is at work; `epochal stop {run.name}` first, or wait for it")
    scrubber = Scrubber(run, spec, free_fields)
    files = _files(run, with_states)
    total = sum(file.stat().st_size for file in files)
    hidden = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    done = 0
    try:
        with explain_disk_errors(target, wanted_bytes=total):
            with (
                hidden.open("xb") as raw,
                gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
            ):
                for file in files:
                    _add(archive, f"{run.resolve().name}/{file.relative_to(run).as_posix()}", file, scrubber)
                    done += file.stat().st_size
                    progress(done, total)
            if is_held(paths.lock):
                raise UserError(
                    f"{run.name} was taken up by a process meanwhile; pack it when that has ended"
                )
            digest = _sha256(hidden)
            hidden.replace(target)
            sync_folder(target.parent)
    finally:
        hidden.unlink(missing_ok=True)
    is_cut = not paths.done.exists() and not with_states
    note = f"it is not finished ({standing(run)}) and will start over; --with-states keeps its states"
    return Packed(
        path=target,
        num_bytes=target.stat().st_size,
        sha256=digest,
        replaced=scrubber.replaced,
        note=note if is_cut else "",
    )


def unpack(file: Path, runs: Path, progress: Progress = lambda _done, _of: None) -> Path:
    """Put a packed run back into the folder ``runs``; it appears whole or not at all.

    Only plain files and folders below one name are taken: no links, no devices, no way out of ``runs``.

    Raises:
        UserError: the file is no packed run or is damaged, the run exists already, or the disk is full.
    """
    if not file.is_file():
        raise UserError(f"{file} is no file; give what `epochal pack` has written")
    with explain_disk_errors(runs, wanted_bytes=file.stat().st_size):
        runs.mkdir(parents=True, exist_ok=True)
    gate = acquire(runs / ".unpacking", patience_seconds=60)
    try:
        for stale in filter(Path.is_dir, runs.glob(".*.unpacked")):
            shutil.rmtree(stale)  # under this lock nobody else unpacks: a killed process left it
        try:
            with (
                file.open("rb") as raw,
                gzip.open(raw) as packed,
                tarfile.open(fileobj=packed, mode="r:") as archive,
            ):
                return _put(archive, runs, lambda: progress(raw.tell(), file.stat().st_size))
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
            raise UserError(f"{file} is no packed run, or damaged ({error}); copy it again") from error
    finally:
        release(gate)
        (runs / ".unpacking").unlink(missing_ok=True)


def _files(run: Path, with_states: bool) -> list[Path]:
    """Every plain file to pack, by name."""
    left_out = {*LEFT_OUT, *([] if with_states else [RunPaths(run).resume.name])}
    files = []
    for path in sorted(run.rglob("*"), key=lambda path: path.relative_to(run).parts):
        if path.relative_to(run).parts[0] in left_out or path.name.endswith(".tmp"):
            continue
        if path.is_symlink():
            raise UserError(f"{path} is a link; put the file itself there, then pack the run")
        if path.is_file():
            files.append(path)
    return files


def _add(archive: tarfile.TarFile, name: str, file: Path, scrubber: Scrubber) -> None:
    entry = tarfile.TarInfo(name)  # no time, no owner: mtime, uid and gid are 0
    entry.mode = 0o644
    text = scrubber.scrubbed(file)
    if text is not None:
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
        return
    with file.open("rb") as content:
        entry.size = os.fstat(content.fileno()).st_size
        archive.addfile(entry, content)


def _put(archive: tarfile.TarFile, runs: Path, progress: Callable[[], object]) -> Path:
    final: Path | None = None
    hidden: Path | None = None
    try:
        for entry in archive:
            parts = _safe(entry)
            if final is None or hidden is None:
                final, hidden = runs / parts[0], runs / f".{parts[0]}.unpacked"
                if final.exists():
                    raise UserError(
                        f"{final} exists already; remove it, or unpack with --runs into another folder"
                    )
                hidden.mkdir()
            if parts[0] != final.name:
                raise UserError(f"the archive holds more than one run: {final.name} and {parts[0]}")
            content = archive.extractfile(entry)
            assert content is not None
            with explain_disk_errors(final, wanted_bytes=entry.size):
                _write(hidden.joinpath(*parts[1:]), content)
            progress()
        if final is None or hidden is None:
            raise UserError("the archive is empty; give what `epochal pack` has written")
        read_spec(hidden)
        hidden.rename(final)
        sync_folder(runs)
    finally:
        if hidden is not None:
            shutil.rmtree(hidden, ignore_errors=True)
    return final


def _safe(entry: tarfile.TarInfo) -> tuple[str, ...]:
    """The parts of a name that stays below its first one, of a plain file."""
    path = PurePosixPath(entry.name)
    is_inside = len(path.parts) > 1 and not path.is_absolute() and ".." not in path.parts
    if not is_inside or path.parts[0].startswith(".") or "\\" in entry.name:
        raise UserError(f"the archive holds {entry.name!r}, which is no file of a run; nothing was unpacked")
    if not entry.isreg():
        raise UserError(f"the archive holds {entry.name!r}, which is no plain file; nothing was unpacked")
    return path.parts


def _write(path: Path, content: IO[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        shutil.copyfileobj(content, file, CHUNK)
        os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
