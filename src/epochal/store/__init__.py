"""Run directories, records, resume states, snapshots, many runs as one table. Never torch."""

from epochal.store.atomic import write_file
from epochal.store.catalog import find_run, list_runs
from epochal.store.directory import RunDirectory
from epochal.store.documents import read_json, write_json
from epochal.store.many import load_many
from epochal.store.paths import RunPaths
from epochal.store.records import RecordWriter, read_records
from epochal.store.run import Run, load
from epochal.store.schema import Schema, polars_schema
from epochal.store.snapshots import (
    Snapshot,
    load_member_snapshot,
    load_snapshot,
    save_snapshot,
    snapshot_steps,
)
from epochal.store.states import State, load_state, save_state, state_steps

__all__ = [
    "RecordWriter",
    "Run",
    "RunDirectory",
    "RunPaths",
    "Schema",
    "Snapshot",
    "State",
    "find_run",
    "list_runs",
    "load",
    "load_many",
    "load_member_snapshot",
    "load_snapshot",
    "load_state",
    "polars_schema",
    "read_json",
    "read_records",
    "save_snapshot",
    "save_state",
    "snapshot_steps",
    "state_steps",
    "write_file",
    "write_json",
]
