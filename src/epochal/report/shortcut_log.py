"""A run with a shortcut as the JSON of CausalGrok, under its file names and field names, beside our own.

Per member a folder ``causalgrok/CONDITION/results`` in the run, with ``history.json``, a list with a row per
record, and ``summary.json``. Both are JSON as standardised: where that system writes NaN they say null. -1
stands, as there, for an epoch that there is not.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from epochal.analysis.curves.heuristics import causalgrok_grokking_row, causalgrok_irm_drop_row
from epochal.core.values.errors import UserError
from epochal.report.reading import RunLike, fields_of
from epochal.store.atomic import write_file

FOLDER = "causalgrok"
FIELDS = {
    "train_loss": "train_loss",
    "train_acc": "train_accuracy",
    "val_acc": "val_accuracy",
    "weight_norm": "weight_norm",
    "feature_rank": "feature_rank",
    "irm_mean": "irm_mean",
    "irm_var": "irm_variance",
    "center_conf": "center_confidence",
    "border_conf": "border_confidence",
    "shortcut_ratio": "shortcut_ratio",
}
"""Its names of our columns. Ours of training data are of the network as it is at the record, in evaluation
mode; its own are means over the epoch that led there."""
CONDITIONS = {"shortcut": "grokking", "shortcut-standard": "standard"}
"""Its names of our presets."""
FINAL = ("weight_norm", "feature_rank", "irm_mean", "shortcut_ratio")
NO_EPOCH = -1


@dataclass(frozen=True, kw_only=True)
class ShortcutLog:
    """One member as CausalGrok would have written it: rows, summary, and the folder's name."""

    member: int
    folder: str
    history: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any]


def has_shortcut_log(run: RunLike) -> bool:
    """Whether the run is one that CausalGrok makes: images with a cue, or its presets without one."""
    cue = run.spec.get("fields", {}).get("cue", "none")
    return cue != "none" or run.spec.get("preset") in CONDITIONS


def write_shortcut_logs(run: RunLike, test_accuracy: Mapping[int, float] | None = None) -> list[Path]:
    """Writes both files of every member into the run; old ones are replaced. The folders, by member.

    Raises:
        UserError: the run has no shortcut.
    """
    folders = []
    for log in shortcut_logs(run, test_accuracy or {}):
        place = run.path / FOLDER / log.folder / "results"
        place.mkdir(parents=True, exist_ok=True)
        for name, content in (("history", log.history), ("summary", log.summary)):
            write_file(
                place / f"{name}.json", (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
            )
        folders.append(place.parent)
    return folders


def shortcut_logs(run: RunLike, test_accuracy: Mapping[int, float]) -> list[ShortcutLog]:
    """Every member of the run. ``test_accuracy`` by member; null for those that are not there.

    Raises:
        UserError: the run has no shortcut.
    """
    if not has_shortcut_log(run):
        raise UserError(
            f"{run.name} has no shortcut, so there is no log of one: it needs cue=patch, tint or texture"
        )
    members = [int(member) for member in run.members["member"]]
    fields = {member: fields_of(run, member) for member in members}
    names = {member: _folder(run, fields[member], member) for member in members}
    shared = {name for name, count in Counter(names.values()).items() if count > 1}
    return [
        _log(
            run,
            member,
            fields[member],
            f"{names[member]}-m{member}" if names[member] in shared else names[member],
            _plain(test_accuracy.get(member)),
        )
        for member in members
    ]


def _log(
    run: RunLike, member: int, fields: Mapping[str, Any], folder: str, test_accuracy: float | None
) -> ShortcutLog:
    history = _history(run, member)
    val = [row["val_acc"] for row in history if row["val_acc"] is not None]
    irm = [row for row in history if row["irm_mean"] is not None]
    grokking = next((row["epoch"] for row in history if row["grokking_detected"]), NO_EPOCH)
    drop = irm[causalgrok_irm_drop_row([row["irm_mean"] for row in irm])]["epoch"] if irm else NO_EPOCH
    summary: dict[str, Any] = {
        "run_id": f"{run.spec['run_id']}-m{member}",
        "condition": _condition(run),
        "n_train": _num_train(run, fields),
        "seed": fields["seed"],
        "test_acc": test_accuracy,
        "best_val": max(val, default=None),
        "grokking_epoch": grokking,
        "irm_drop_pct": _drop_percent([row["irm_mean"] for row in irm]),
        "irm_drop_epoch": drop,
        "epoch_gap": abs(drop - grokking) if NO_EPOCH not in (drop, grokking) else NO_EPOCH,
    }
    for name in FINAL:
        summary[f"final_{name.removesuffix('_mean')}"] = history[-1][name] if history else None
    if notes := list(_notes(run, history, test_accuracy)):
        summary["notes"] = notes
    return ShortcutLog(member=member, folder=folder, history=history, summary=summary)


def _history(run: RunLike, member: int) -> list[dict[str, Any]]:
    """A row per record after the start: CausalGrok has none before training, and its detector counts rows.

    ``grokking_detected`` stays true from the first hit on.
    """
    records = run.metrics.filter((pl.col("member") == member) & (pl.col("step") > 0)).sort("step")
    rows: list[dict[str, Any]] = [
        {"epoch": _epoch(row["epoch"])}
        | {name: _plain(row.get(column)) for name, column in FIELDS.items()}
        | {"grokking_detected": False}
        for row in records.iter_rows(named=True)
    ]
    measured = [row for row in rows if row["val_acc"] is not None]
    hit = causalgrok_grokking_row([row["val_acc"] for row in measured])
    for row in [] if hit is None else rows[rows.index(measured[hit]) :]:
        row["grokking_detected"] = True
    return rows


def _notes(run: RunLike, history: Sequence[Mapping[str, Any]], test_accuracy: float | None) -> list[str]:
    missing = [name for name in FIELDS if all(row[name] is None for row in history)]
    said = []
    if missing:
        columns = [FIELDS[name] for name in missing]
        said.append(
            f"not recorded, hence null: {', '.join(missing)} (columns {', '.join(columns)} of the probes "
            "loss, accuracy, weight_norm, feature_rank, irm, occlusion)"
        )
    if test_accuracy is None:
        said.append("test_acc is null: no test split of its own, or the member diverged or is still trained")
    return said


def _folder(run: RunLike, fields: Mapping[str, Any], member: int) -> str:
    """``CONDITION[-spuriousRHO]-nN-sSEED``."""
    cue = f"-spurious{fields['rho']}" if fields["cue"] != "none" else ""
    return f"{_condition(run)}{cue}-n{_num_train(run, fields)}-s{fields['seed']}"


def _condition(run: RunLike) -> str:
    preset = run.spec.get("preset")
    return CONDITIONS.get(str(preset), str(preset or "custom"))


def _num_train(run: RunLike, fields: Mapping[str, Any]) -> int | None:
    if fields["n_train"] is not None:
        return int(fields["n_train"])
    splits = run.environment.get("splits")
    first = splits[0] if isinstance(splits, list) else splits
    return None if not first else int(first["train"])


def _drop_percent(irm: Sequence[float]) -> float | None:
    return (irm[0] - min(irm)) / (irm[0] + 1e-8) * 100 if irm else None


def _epoch(value: float) -> float:
    """Whole epochs as whole numbers."""
    return int(value) if float(value).is_integer() else value


def _plain(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
