"""CausalGrok's files from a planted run: its fields, its four numbers by hand, its sentinels as JSON."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from epochal.core.values.errors import UserError
from epochal.report.beside_causalgrok import beside_causalgrok
from epochal.report.page import page
from epochal.report.shortcut_log import FIELDS, shortcut_logs, write_shortcut_logs
from tests.report.runs import ENVIRONMENT, EVENT_SCHEMA, FakeRun

HISTORY = [
    "epoch", "train_loss", "train_acc", "val_acc", "weight_norm", "feature_rank", "irm_mean", "irm_var",
    "center_conf", "border_conf", "shortcut_ratio", "grokking_detected",
]  # fmt: skip
SUMMARY = [
    "run_id", "condition", "n_train", "seed", "test_acc", "best_val", "grokking_epoch", "irm_drop_pct",
    "irm_drop_epoch", "epoch_gap", "final_weight_norm", "final_feature_rank", "final_irm",
    "final_shortcut_ratio",
]  # fmt: skip


def planted(
    path: Path,
    val: Sequence[float],
    irm: Sequence[float],
    *,
    seeds: Sequence[int] = (7,),
    varied: str = "seed",
    preset: str = "shortcut",
    cue: str = "patch",
    columns: Sequence[str] = tuple(FIELDS.values()),
) -> FakeRun:
    """Ten steps per epoch; a record before training, whose values no row may have, then one per 5 epochs."""
    rows = []
    for member in range(len(seeds)):
        for place, (accuracy, penalty) in enumerate([(0.999, 99.0), *zip(val, irm, strict=True)]):
            values = dict.fromkeys(columns, 0.5 + place) | {"val_accuracy": accuracy, "irm_mean": penalty}
            row = {"member": member, "step": 50 * place, "epoch": 5.0 * place}
            rows.append(row | {column: values[column] for column in columns})
    fields: dict[str, Any] = {"cue": cue, "rho": 0.8, "seed": 7, "n_train": None}
    fields[varied] = {"axis": list(seeds)}
    members = pl.DataFrame(
        {
            "member": range(len(seeds)),
            "member_id": [f"id{number}" for number in range(len(seeds))],
            varied: list(seeds),
            "outcome": "finished",
            "outcome_step": 50 * len(val),
            "outcome_reason": None,
        }
    )
    return FakeRun(
        path=path,
        name="planted",
        metrics=pl.DataFrame(rows),
        members=members,
        events=pl.DataFrame(schema=EVENT_SCHEMA),
        spec={"experiment": "images", "preset": preset, "fields": fields, "run_id": "abc", "command": "c"},
        environment=ENVIRONMENT | {"splits": {"train": 500, "val": 524}},
    )


VAL = [0.8] * 11 + [0.9, 0.95]
IRM = [0.4, 0.4, 0.1, 0.3, *[0.3] * 8, 0.2]


def test_the_files_have_its_fields_and_its_four_numbers(tmp_path: Path) -> None:
    (folder,) = write_shortcut_logs(planted(tmp_path, VAL, IRM), {0: 0.75})
    assert folder == tmp_path / "causalgrok" / "grokking-spurious0.8-n500-s7"
    history, summary = (read(folder / "results" / f"{name}.json") for name in ("history", "summary"))
    assert [list(row) for row in history] == [HISTORY] * 13
    assert [row["epoch"] for row in history] == [5 * place for place in range(1, 14)], "none before training"
    assert list(summary) == SUMMARY
    # Row 11 is the first with .05 above the best before it, after a plateau of eleven: epoch 60.
    assert summary["grokking_epoch"] == 60
    assert [row["grokking_detected"] for row in history] == [False] * 11 + [True] * 2
    # The largest change, up or down, is from .4 to .1: the third row.
    assert summary["irm_drop_epoch"] == 15 and summary["epoch_gap"] == 45
    assert summary["irm_drop_pct"] == pytest.approx(75.0, rel=1e-6)
    assert summary["best_val"] == 0.95 and summary["test_acc"] == 0.75 and summary["final_irm"] == 0.2
    assert (summary["n_train"], summary["seed"], summary["condition"]) == (500, 7, "grokking")


def test_without_a_jump_or_a_measure_there_are_its_sentinels_and_a_sentence(tmp_path: Path) -> None:
    few = ("val_accuracy", "weight_norm")
    run = planted(
        tmp_path, [0.8, 0.81, math.nan], [1.0] * 3, columns=few, preset="shortcut-standard", cue="none"
    )
    (folder,) = write_shortcut_logs(run)
    assert folder.name == "standard-n500-s7"
    history, summary = (read(folder / "results" / f"{name}.json") for name in ("history", "summary"))
    assert history[2]["val_acc"] is None and history[0]["irm_mean"] is None
    assert [summary[name] for name in ("grokking_epoch", "irm_drop_epoch", "epoch_gap")] == [-1, -1, -1]
    assert summary["irm_drop_pct"] is summary["test_acc"] is summary["final_irm"] is None
    assert summary["best_val"] == 0.81
    assert "irm_mean, irm_variance" in summary["notes"][0] and "test_acc is null" in summary["notes"][1]


def test_members_of_one_name_have_folders_of_their_own(tmp_path: Path) -> None:
    run = planted(tmp_path, VAL, IRM, seeds=[0, 1], varied="label_noise")
    assert [folder.name for folder in write_shortcut_logs(run)] == [
        "grokking-spurious0.8-n500-s7-m0", "grokking-spurious0.8-n500-s7-m1",
    ]  # fmt: skip


def test_a_run_without_a_shortcut_has_no_log(tmp_path: Path) -> None:
    run = planted(tmp_path, VAL, IRM, preset="digits", cue="none")
    assert beside_causalgrok(run) is None
    with pytest.raises(UserError, match="planted has no shortcut"):
        shortcut_logs(run, {})


def test_the_page_has_its_verdict_beside_ours(tmp_path: Path) -> None:
    run = planted(tmp_path, VAL, IRM, seeds=[7, 8])
    table = beside_causalgrok(run)
    assert table is not None
    assert [row[3:] for row in table.rows] == [("60", "15", "45", 75.0)] * 2
    text = page(run, [])
    assert "Beside CausalGrok" in text and "largest change of the penalty" in text


def read(path: Path) -> Any:
    return json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
