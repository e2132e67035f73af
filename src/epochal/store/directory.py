"""A run on disk, as the one process sees it that writes to it."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from epochal.core.values.errors import UserError
from epochal.store.atomic import (
    explain_disk_errors,
    remove_stale_temporaries,
    sync_folder,
    write_all,
    write_file,
)
from epochal.store.documents import RUN_FORMAT, read_json, read_spec, write_json, write_parquet
from epochal.store.lock import acquire, release
from epochal.store.paths import RunPaths
from epochal.store.records import RecordWriter, read_records
from epochal.store.schema import Schema, declared_columns, polars_schema
from epochal.store.tables import events_table, members_table


@dataclass(frozen=True, kw_only=True)
class RunDirectory:
    """A run directory under an exclusive lock, until `close` or the end of the process."""

    paths: RunPaths
    lock: int

    @classmethod
    def create(
        cls,
        runs: Path,
        name: str,
        *,
        spec: Mapping[str, Any],
        environment: Mapping[str, Any],
        members: pl.DataFrame,
        schema: Schema,
        code: Mapping[str, bytes] | None = None,
        fill: Callable[[RunPaths], None] = lambda _paths: None,
    ) -> Self:
        """Make ``runs/name``, locked. It appears whole: built in a hidden sibling and renamed.

        What killed processes left half-built in ``runs`` is removed on the way. ``spec`` gets the format
        number; ``members`` needs ``member`` and ``member_id``, ``schema`` needs ``member`` and ``step``.
        ``code`` is own code by the name of its copy; ``fill`` may add what the run starts with.

        Raises:
            UserError: the run exists, or the disk is full; no trace of it remains then.
        """
        assert name and "/" not in name and not name.startswith("."), f"no name for a run: {name!r}"
        assert {"member", "step"} <= schema.keys(), f"schema lacks member or step: {list(schema)}"
        assert spec.get("format", RUN_FORMAT) == RUN_FORMAT
        polars_schema(schema)
        final, hidden = runs / name, runs / f".{name}.tmp"
        with explain_disk_errors(final, wanted_bytes=0):
            runs.mkdir(parents=True, exist_ok=True)
        # Under this lock nobody else is building, so every hidden sibling is a dead process's.
        gate = acquire(runs / ".lock", patience_seconds=60)
        lock: int | None = None
        try:
            for stale in filter(Path.is_dir, runs.glob(".*.tmp")):
                shutil.rmtree(stale)
            if final.exists():
                raise UserError(f"{final} exists already; resume it, or ask for a fresh one with --again")
            with explain_disk_errors(final, wanted_bytes=0):
                hidden.mkdir()
                building = RunPaths(hidden)
                lock = acquire(building.lock)  # a lock follows its file through the rename
                write_json(building.spec, {"format": RUN_FORMAT, **spec})
                write_json(building.environment, environment)
                write_json(building.schema, {"format": RUN_FORMAT, "columns": declared_columns(schema)})
                write_parquet(building.members, members_table(members))
                for name_of_copy, source in (code or {}).items():
                    building.code.mkdir(exist_ok=True)
                    write_file(building.code / name_of_copy, source)
                fill(building)
                os.rename(hidden, final)
                sync_folder(runs)
        except BaseException:
            if lock is not None:
                release(lock)
            shutil.rmtree(hidden, ignore_errors=True)
            raise
        finally:
            release(gate)
        return cls(paths=RunPaths(final), lock=lock)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Lock an existing run for writing, and clear away what a killed writer left half-written.

        Raises:
            UserError: not a run, of a format that this version does not read, or in use by another process.
        """
        read_spec(path)
        paths = RunPaths(path)
        lock = acquire(paths.lock)
        for folder in (path, paths.resume, paths.snapshots, paths.probes):
            remove_stale_temporaries(folder)
        return cls(paths=paths, lock=lock)

    @property
    def path(self) -> Path:
        return self.paths.run

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def spec(self) -> dict[str, Any]:
        return read_spec(self.path)

    @property
    def schema(self) -> dict[str, dict[str, Any]]:
        columns: dict[str, dict[str, Any]] = read_json(self.paths.schema)["columns"]
        return columns

    def record_writer(self, pack: int, offset: int | None = None) -> RecordWriter:
        """The writer of a pack's records, with the run's schema; see `RecordWriter`."""
        return RecordWriter(self.paths.records(pack), self.schema, offset)

    def write_spec(self, spec: Mapping[str, Any]) -> None:
        write_json(self.paths.spec, spec)

    def write_members(self, members: pl.DataFrame) -> None:
        write_parquet(self.paths.members, members_table(members))

    def write_events(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Replace the events. A row is `Event.as_row()` plus ``member``, ``name`` and ``probe``."""
        write_parquet(self.paths.events, events_table(rows))

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        write_json(self.paths.environment, environment)

    def append_log(self, text: str) -> None:
        """Add a line with the time in UTC to ``log.txt``; further lines of ``text`` are indented."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        data = f"{stamp} {text.rstrip().replace(chr(10), chr(10) + '    ')}\n".encode(errors="replace")
        with explain_disk_errors(self.paths.log, wanted_bytes=len(data)):
            descriptor = os.open(self.paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                write_all(descriptor, data)
            finally:
                os.close(descriptor)

    def finish(self) -> None:
        """Gather the records in ``metrics.parquet``, sorted by member and step, and write ``DONE`` last.

        Raises:
            UserError: a damaged record, or the disk is full; the run is then not done and can be finished
                again.
        """
        metrics = read_records(self.paths.all_records(), self.schema)
        write_parquet(self.paths.metrics, metrics.sort("member", "step", maintain_order=True))
        write_file(self.paths.done, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ\n").encode())

    def is_done(self) -> bool:
        return self.paths.done.exists()

    def close(self) -> None:
        """Let go of the lock."""
        release(self.lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def remove_if_empty(run: Path) -> None:
    """Remove a run that holds no record, no state and no snapshot: it can tell nobody anything."""
    paths = RunPaths(run)
    records = any(file.stat().st_size for file in paths.all_records())
    if run.is_dir() and not records and not paths.resume.exists() and not paths.snapshots.exists():
        shutil.rmtree(run)
