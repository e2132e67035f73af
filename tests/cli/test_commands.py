"""What the commands show, and that what they print can be used."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch

import epochal
from tests.cli.conftest import TINY, Call, Have


def test_a_run_from_the_command_line_to_python(
    call: Call, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = call("run", "algorithmic", *TINY[:1], *TINY[2:], "seed=0:2", "weight_decay=0,1", "width=8,12")
    assert ended.code == 0
    (path,) = runs.glob("[!.]*")
    assert f"run     {path}" in ended.out and f"report  {path}/report.html" in ended.out
    run = epochal.load(path)
    assert run.metrics.columns[:3] == ["member", "step", "epoch"]
    assert {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "weight_norm"} <= set(
        run.metrics.columns
    )
    assert run.metrics["member"].n_unique() == 8 and run.is_done
    assert {"member", "member_id", "seed", "weight_decay", "width"} <= set(run.members.columns)
    assert run.members["outcome"].to_list() == ["finished"] * 8
    assert {"member", "name", "probe", "found", "step", "low", "high", "width", "censored", "reason"} <= set(
        run.events.columns
    )
    assert {"memorisation", "generalisation"} <= set(run.events["name"])
    wanted = "epochal torch commit hardware threads started_utc wall_seconds parameters splits"
    for name in wanted.split():
        assert name in run.environment
    monkeypatch.setattr(
        "epochal.report.page.write_report", lambda run, **_options: run.path
    )  # the others need no page
    for member, (decay, width, seed) in enumerate(
        run.members.select("weight_decay", "width", "seed").iter_rows()
    ):
        fields = {"modulus": 7, "width": width, "heads": 2, "max_steps": 20, "record_every": 5}
        alone = epochal.run("algorithmic", **fields, weight_decay=decay, seed=seed, threads=1, progress=False)
        assert alone.members["member_id"][0] == run.members["member_id"][member]
        losses = run.metrics.filter(pl.col("member") == member)["val_loss"]
        assert (losses - alone.metrics["val_loss"]).abs().max() < 1e-4  # type: ignore[operator]


def test_the_same_request_returns_the_same_run(call: Call, have: Have, runs: Path) -> None:
    have("algorithmic", *TINY)
    stamp = next(runs.glob("*/metrics/pack-0.jsonl")).stat().st_mtime_ns
    again = call("run", "algorithmic", *reversed(TINY), "--json")
    assert again.code == 0
    assert len(list(runs.glob("[!.]*"))) == 1
    assert next(runs.glob("*/metrics/pack-0.jsonl")).stat().st_mtime_ns == stamp
    assert json.loads(again.out)[0]["outcome"] == "finished"


def test_a_stored_network_is_an_ordinary_module_with_the_recorded_accuracy(have: Have) -> None:
    run = epochal.load(have("algorithmic", *TINY, "seed=0:2", "snapshot_every=10"))
    assert run.snapshots == [0, 10, 20]
    tokens = torch.tensor([[a, b, 7] for a in range(7) for b in range(7)])
    right = tokens[:, :2].sum(1) % 7
    for member in range(2):
        for step in run.snapshots:
            module = run.model(member, step)
            assert isinstance(module, torch.nn.Module)
            accuracy = (module(tokens).argmax(-1) == right).double().mean().item()
            row = run.metrics.filter((pl.col("member") == member) & (pl.col("step") == step))
            sizes = run.environment["splits"]
            both = (row["train_accuracy"][0] * sizes["train"] + row["val_accuracy"][0] * sizes["val"]) / 49
            assert accuracy == pytest.approx(both, abs=1e-9)
    with pytest.raises(epochal.UserError, match="no snapshot of member 0 at step 7"):
        run.model(0, 7)
    with pytest.raises(epochal.UserError, match="member=9 is not in"):
        run.model(9, 0)


@pytest.mark.usefixtures("without_pages")
def test_many_runs_are_one_table(call: Call, runs: Path) -> None:
    call("run", "algorithmic", *TINY, "weight_decay=0.5")
    call("run", "algorithmic", *TINY, "weight_decay=1", "seed=0:2")
    table = epochal.load_many(str(runs / "*")).collect()
    arms = table.select("weight_decay", "seed").unique().sort("weight_decay", "seed")
    assert arms.rows() == [(0.5, 0), (1.0, 0), (1.0, 1)]
    assert len(table) == 3 * 5


def test_listings_are_tables_and_json(call: Call, have: Have) -> None:
    assert "no runs in" in call("ls").out and json.loads(call("ls", "--json").out) == []
    have("algorithmic", *TINY)
    (row,) = json.loads(call("ls", "--json").out)
    assert (row["members"], row["outcome"], row["max_steps"]) == (1, "1 finished", 20)
    assert row["name"] in call("ls").out
    assert json.loads(call("show", row["name"][-8:], "--json").out)[0]["member"] == 0
    experiments = json.loads(call("show", "--json").out)
    assert {"algorithmic", "images"} == {row["experiment"] for row in experiments}
    fields = {row["field"]: row for row in json.loads(call("show", "algorithmic", "--json").out)}
    required = (
        "modulus operation model width depth heads train_fraction batch_size optimizer learning_rate "
        "weight_decay seed max_steps record_every"
    )
    assert set(required.split()) <= set(fields) and all(row["meaning"] for row in fields.values())
    assert fields["learning_rate"]["kind"] == "vary" and fields["width"]["kind"] == "static"


def test_show_marks_what_a_preset_changes(call: Call) -> None:
    """``demo`` sets nine fields and the schedule of a probe; ``gromov`` two that are so anyway."""
    rows = {row["field"]: row for row in json.loads(call("show", "algorithmic", "demo", "--json").out)}
    changed = {name: row["instead_of"] for name, row in rows.items() if row["instead_of"]}
    defaults = {row["field"]: row["default"] for row in json.loads(call("show", "algorithmic", "--json").out)}
    assert set(changed) == set(
        "modulus train_fraction width initialization learning_rate weight_decay max_steps record_every "
        "probe_every seed".split()
    )
    assert (
        changed.pop("probe_every") == "nothing" and rows["probe_every"]["demo"] == "gradient_norm=200+log:3"
    )
    assert all(text == defaults[name] != rows[name]["demo"] for name, text in changed.items())
    gromov = {row["field"]: row for row in json.loads(call("show", "gromov", "--json").out)}
    assert gromov["modulus"]["gromov"] == "97" and not gromov["modulus"]["instead_of"]
    assert not gromov["record_every"]["instead_of"], "a default that is spelt out"


def test_a_report_can_be_written_again(call: Call, have: Have) -> None:
    page = have("algorithmic", *TINY) / "report.html"
    page.unlink()
    ended = call("report", page.parent.name)
    assert ended.code == 0 and ended.out.strip() == str(page) and page.stat().st_size > 100_000


def test_the_report_says_how_to_make_the_run_again(call: Call, runs: Path) -> None:
    call("run", "algorithmic", *TINY, "weight_decay=0.3")
    command = epochal.load(next(runs.glob("[!.]*"))).spec["command"]
    assert command in next(runs.glob("*/report.html")).read_text()
    assert call(*command.split()[1:]).code == 0
    assert len(list(runs.glob("[!.]*"))) == 1


def test_a_plan_counts_and_trains_nothing(call: Call, runs: Path) -> None:
    ended = call("run", "algorithmic", *TINY, "seed=0:3", "operation=+,-", "--plan", "--json")
    assert [(row["members"], row["steps"], row["records"]) for row in json.loads(ended.out)] == [
        (3, 20, 5)
    ] * 2
    assert (
        "6 members in 2 packs" in call("run", "algorithmic", *TINY, "seed=0:3", "operation=+,-", "--plan").out
    )
    assert not runs.exists()


@pytest.mark.usefixtures("without_pages")
def test_again_makes_a_fresh_run_with_the_same_numbers(call: Call, runs: Path) -> None:
    assert call("run", "algorithmic", *TINY).code == call("run", "algorithmic", *TINY, "--again").code == 0
    first, second = sorted(runs.glob("[!.]*"))
    assert second.name == f"{first.name}.2"
    assert epochal.load(first).metrics.equals(epochal.load(second).metrics)
    assert epochal.load(second).spec["command"].endswith(" --again")


def test_data_sets_are_listed_with_what_is_missing(call: Call, tmp_path: Path) -> None:
    rows = {
        row["name"]: row for row in json.loads(call("data", "list", "--root", str(tmp_path), "--json").out)
    }
    assert rows["digits"]["there"] == "built in" and rows["cifar10"]["there"] == "no"
    assert call("data", "where", "mnist", "--root", str(tmp_path)).out.strip() == str(tmp_path / "mnist")
    ended = call("data", "verify", "mnist", "--root", str(tmp_path))
    assert ended.code == 2 and "4 of 4 files of mnist are missing" in ended.complaint[0]
    ended = call("data", "verify", "mnits")
    assert ended.code == 2 and "did you mean 'mnist'" in ended.complaint[0]


def test_the_help_page_has_what_is_used_first_on_top(call: Call) -> None:
    page = call("--help").out.partition("Commands:")[2].splitlines()
    names = [line.split()[0] for line in page if line.startswith("  ") and line[2] != " "]
    assert names[:7] == ["demo", "run", "extend", "study", "show", "ls", "report"] and names[-1] == "data"
    assert not [line for line in page if line.endswith("...")], "every command is told in one line"


def test_help_needs_no_torch() -> None:
    script = """
import sys, epochal.cli
try:
    epochal.cli.main(["--help"])
except SystemExit:
    print("torch" in sys.modules, "polars" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False" and "demo" in done.stdout
