"""Logs of other programs as a run directory that lists, loads, reports, draws and analyses like any other."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl

import epochal
from epochal.core.values.identity import SEMANTICS
from epochal.launch.transitions import events_of
from epochal.store.directory import RunDirectory
from epochal.store.foreign.found import Found
from epochal.store.paths import RunPaths

IMPORTED = "imported"
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
QUANTITIES = {"acc": "accuracy", "accuracy": "accuracy", "loss": "loss"}
LOGGED = re.compile(r"(?P<full>full_)?(?P<split>[a-z]+)[_/.\-](?P<what>acc|accuracy|loss)$")
FORBIDDEN = re.compile(r"[;=\[\]]")
ROWS_BETWEEN = 1000
"""Rows of records from one word about them to the next."""


def import_found(
    found: Found,
    runs: Path,
    *,
    label: str,
    program: str,
    before_done: Callable[[Path], object] = lambda _path: None,
    tell: Callable[[str, int, int], None] = lambda _what, _done, _of: None,
) -> tuple[Path, bool]:
    """The run of these logs, and whether it is new: the same content is the same run, wherever it lies.

    Measures get epochal's names where they have one (``val_acc`` becomes ``val_accuracy``). What a log does
    not tell (hardware, versions, times, numbers of examples) is null. Events are looked for as in any run;
    ``tell`` is told what is being made, how much of it is done, and of how much.

    Raises:
        UserError: the disk is full, or the run is in use.
    """
    named = renamed(found.metrics)
    metrics = found.metrics.rename(named)
    members = found.members.with_columns(pl.Series("member_id", member_ids(metrics, found.members)))
    measures = [name for name in metrics.columns if name not in ("member", "step", "epoch")]
    content = hashlib.blake2b("".join([*members["member_id"], *measures]).encode(), digest_size=8).hexdigest()
    path = runs / f"{IMPORTED}-{slug(label)}-{content[:8]}"
    if RunPaths(path).done.exists():
        return path, False
    original = {new: old for old, new in named.items()}
    schema: dict[str, Any] = {"member": "int64", "step": "int64", "epoch": "float64"} | {
        name: {
            "dtype": "float64",
            "unit": "fraction correct" if name.endswith("accuracy") else None,
            "null": None,
            "source": f"{program}, logged as {original.get(name, name)}",
        }
        for name in measures
    }
    spec = {
        "semantics": SEMANTICS,
        "experiment": IMPORTED,
        "preset": None,
        "run_id": content,
        "command": None,
        "settings": [],
        "fields": dict(found.spec["fields"])
        | {name: {"axis": _axis(members, name)} for name in _varied(members)},
        "defaults": {},
        "chain": None,
        "probes": {},
        "varied": _varied(members),
        "max_steps": _max_steps(found, metrics),
        "imported": {
            "program": program,
            "taken": list(found.taken),
            "names": named,
            "logs": list(found.spec.get("logs", ())),
        },
    }
    environment = {
        "epochal": epochal.__version__, "program": program, "commit": None, "hardware": None, "device": None,
        "started_utc": None, "parameters": None, "splits": None, "wall_seconds": None,
    }  # fmt: skip
    if path.exists():  # a killed import: its one record file is written anew
        directory = RunDirectory.open(path)
    else:
        directory = RunDirectory.create(
            runs, path.name, spec=spec, environment=environment, members=members, schema=schema
        )
    with directory:
        with directory.record_writer(0, 0 if RunPaths(path).records(0).exists() else None) as writer:
            writer.append(_counted(metrics, tell))
        searched = events_of(metrics, trials_of(metrics), lambda done, of: tell("events", done, of))
        directory.write_events(searched)
        before_done(path)
        directory.finish()
    return path, True


def _counted(metrics: pl.DataFrame, tell: Callable[[str, int, int], None]) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(metrics.iter_rows(named=True)):
        if number % ROWS_BETWEEN == 0:
            tell("records", number, len(metrics))
        yield row


def renamed(metrics: pl.DataFrame) -> dict[str, str]:
    """Logged name to epochal's, where they differ.

    ``full_train_acc``, where there is one, is accuracy on the training set in evaluation mode: that is
    ``train_accuracy`` here. The ``train_accuracy`` beside it, a mean over minibatches in training mode, is
    ``batch_accuracy``.
    """
    names: dict[str, str] = {}
    taken = set(metrics.columns)
    parsed = {name: LOGGED.match(name.lower()) for name in metrics.columns}
    has_full = {QUANTITIES[m["what"]] for m in parsed.values() if m and m["full"] and m["split"] in SPLITS}
    for name, match in parsed.items():
        wanted = name
        if match and match["split"] in SPLITS:
            split, what = SPLITS[match["split"]], QUANTITIES[match["what"]]
            split = "batch" if split == "train" and what in has_full and not match["full"] else split
            wanted = f"{split}_{what}"
        wanted = FORBIDDEN.sub("_", wanted)
        if wanted == "status":
            wanted = "status_"
        if wanted != name:
            names[name] = wanted
    # A name that is already taken by a column that keeps it stays as it was logged.
    kept = taken - set(names)
    result: dict[str, str] = {}
    for name, wanted in names.items():
        if wanted not in kept and wanted not in result.values():
            result[name] = wanted
    return result


def member_ids(metrics: pl.DataFrame, members: pl.DataFrame) -> list[str]:
    """A hash of each member's records and fields."""
    found = []
    for row in members.iter_rows(named=True):
        own = metrics.filter(pl.col("member") == row["member"]).drop("member")
        fields = {k: v for k, v in row.items() if k not in ("member", "member_id")}
        text = repr(sorted(fields.items(), key=lambda item: item[0])) + own.write_csv()
        found.append(hashlib.blake2b(text.encode(), digest_size=8).hexdigest())
    return found


def trials_of(metrics: pl.DataFrame) -> list[dict[str, int]]:
    """Examples behind an accuracy, where the log has their number as a column; else None."""
    found = []
    for own in metrics.partition_by("member", maintain_order=True):
        sizes = {}
        for split, column in (("train", "len_train_ds"), ("val", "len_val_ds")):
            known = own[column].drop_nulls().unique().to_list() if column in own.columns else []
            sizes[split] = int(known[0]) if len(known) == 1 and known[0] >= 1 else None
        found.append(cast(dict[str, int], sizes))  # detect takes None for a number that is not known
    return found


def slug(text: str) -> str:
    """A part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", text).strip("._")[:40] or "logs"


def _varied(members: pl.DataFrame) -> list[str]:
    fixed = ("member", "member_id", "outcome", "outcome_step", "outcome_reason")
    return [name for name in members.columns if name not in fixed]


def _axis(members: pl.DataFrame, name: str) -> Sequence[Any]:
    values: list[Any] = members[name].unique(maintain_order=True).to_list()
    return values


def _max_steps(found: Found, metrics: pl.DataFrame) -> int | None:
    """As the hyperparameters say, else not known."""
    given = found.spec["fields"].get("max_steps")
    return int(given) if isinstance(given, int | float) and given > 0 else None
