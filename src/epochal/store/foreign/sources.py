"""Which reader a path needs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from epochal.core.values.errors import UserError
from epochal.store.foreign.lightning import is_lightning, lightning_files, read_lightning
from epochal.store.foreign.log import Log
from epochal.store.foreign.tables import read_csv, read_jsonl, read_parquet
from epochal.store.foreign.tensorboard import read_events
from epochal.store.foreign.wandb_export import is_chart, unfolded
from epochal.store.foreign.wandb_file import read_wandb

CSV, JSONL, PARQUET = (".csv", ".tsv", ".txt"), (".jsonl", ".ndjson", ".json"), (".parquet", ".pq")
EVENTS = "tfevents"
KNOWN = "CSV, JSONL, Parquet, TensorBoard's *tfevents* files, W&B's run-*.wandb, Lightning's metrics.csv"


Progress = Callable[[int, int], None]
"""Told of how many logs are read, and of how many."""


def read_logs(path: Path, progress: Progress = lambda _done, _of: None) -> list[Log]:
    """What lies at a path: one log for a file, one for each run below a folder.

    Raises:
        UserError: nothing is there, or nothing that is known, or it cannot be read.
    """
    if path.is_dir():
        return folder_logs(path, progress)
    if not path.exists():
        raise UserError(f"{path} does not exist; give {KNOWN}, or a run")
    if EVENTS in path.name:
        return [read_events(path, [path])]
    if path.suffix == ".wandb":
        return [read_wandb(path)]
    if is_lightning(path):
        return [read_lightning(path)]
    suffix = path.suffix.lower()
    if suffix in CSV:
        log = read_csv(path)
        return [unfolded(log) if is_chart(log) else log]
    if suffix in JSONL:
        return [read_jsonl(path)]
    if suffix in PARQUET:
        return [read_parquet(path)]
    raise UserError(f"{path} ends in {suffix or 'nothing'}, which is not known: give {KNOWN}")


def folder_logs(folder: Path, progress: Progress = lambda _done, _of: None) -> list[Log]:
    """The logs of one program below a folder; a folder with event files is one run of TensorBoard's.

    Raises:
        UserError: none, or those of several programs.
    """
    lightning = [path for path in lightning_files(folder) if is_lightning(path)]
    by_folder: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob(f"*{EVENTS}*")):
        if path.is_file():
            by_folder.setdefault(path.parent, []).append(path)
    offline = sorted(path for path in folder.rglob("*.wandb") if path.is_file())
    if lightning:  # Lightning writes event files beside it where both of its loggers are on
        return _each(read_lightning, lightning, progress)
    if by_folder and offline:
        raise UserError(f"{folder} holds logs of TensorBoard and of W&B: give one of its folders")
    if by_folder:
        return _each(lambda place: read_events(place, by_folder[place]), list(by_folder), progress)
    if offline:
        return _each(read_wandb, offline, progress)
    raise UserError(f"{folder} holds no log that is known: give {KNOWN}, or a run")


def _each(read: Callable[[Path], Log], paths: Sequence[Path], progress: Progress) -> list[Log]:
    logs = []
    for number, path in enumerate(paths):
        progress(number, len(paths))
        logs.append(read(path))
    return logs
