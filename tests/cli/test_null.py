"""`epochal null`: what it prints for runs and for files, what it keeps, and how it refuses."""

import json
from pathlib import Path

import polars as pl
import torch

from epochal.models.images.resmlp import ResMLP
from tests.cli.conftest import Call, Have

WORDS = (
    "credit", "data=digits", "crop_padding=0", "flip=false", "rule=dfa,backprop", "width=8", "depth=2",
    "epochs=1", "probes=weight_norm", "probe_samples=30", "threads=1",
)  # fmt: skip


def test_a_table_per_network_and_the_published_verdict_beside_the_right_one(call: Call, have: Have) -> None:
    run = have(*WORDS)
    ended = call("null", run.name, "--draws", "99")
    assert ended.code == 0 and "rule=dfa" in ended.out
    assert "adjusted p" in ended.out and "isometric reference" in ended.out
    assert "published rule" in ended.out and "pooled sd" in ended.out
    assert "member 1: no null" in ended.out and "its credit is the gradient" in ended.out
    path = Path(ended.out.splitlines()[-1].removeprefix("table").strip())
    table = pl.read_parquet(path)
    assert table["member"].to_list() == [0] * len(table)
    assert all(len(row) == 3 for row in table["credit_adjusted_p"])
    assert json.loads(path.with_suffix(".json").read_text())["labels"]["credit_p"] == [
        "embed", "block.0", "block.1",
    ]  # fmt: skip
    rows = json.loads(call("null", run.name, "--draws", "99", "--json").out)
    first = table.sort("step").row(0, named=True)
    assert [row["cosine"] for row in rows[:3]] == first["credit_cosine"]
    assert [row["adjusted_p"] for row in rows[:3]] == first["credit_adjusted_p"]


def test_only_members_without_a_null_is_an_error(call: Call, have: Have) -> None:
    ended = call("null", have(*WORDS).name, "--members", "1")
    assert ended.code == 2
    assert ended.complaint == [
        "rule='backprop' has no random feedback to draw afresh: its credit is the gradient"
    ]


def test_wrong_words_are_told_in_one_line(call: Call, have: Have, tmp_path: Path) -> None:
    run = have(*WORDS).name
    for words, said in {
        (): "give one run",
        (run, "data=digits"): "goes with --ckpt",
        (run, "--draws", "3"): "at least 19 draws",
        (run, "--members", "7"): "member=7",
        (run, "--ckpt", "x.pt"): "give one run",
        ("--ckpt", "x.pt"): "needs the images",
        ("--ckpt", "x.pt", "data=digits", "color=1"): "is no field",
        ("--ckpt", "x.pt", "data=digits", "residual=maybe"): "neither true nor false",
        ("--ckpt", str(tmp_path / "x.pt"), "data=digits"): "there is no file",
        ("--ckpt", "x.pt", "data=digits", "--steps", "3"): "are of runs",
    }.items():
        ended = call("null", *words)
        assert ended.code == 2 and len(ended.complaint) == 1, words
        assert said in ended.complaint[0]


def test_a_file_from_elsewhere(call: Call, tmp_path: Path) -> None:
    network = ResMLP(num_inputs=64, num_classes=10, depth=2, width=8)
    feedback = [torch.randn(8, 10) for _ in range(2)]
    stored = {"state_dict": network.state_dict(), "Bs": feedback, "test_acc": 0.9}
    torch.save(stored, tmp_path / "net.pt")
    ended = call("null", "--ckpt", str(tmp_path / "net.pt"), "data=digits", "--draws", "99")
    assert ended.code == 0
    assert "the file says 0.9000: other images, pixels or network" in ended.out
    assert "training B  l0" in ended.out and "draw 19" in ended.out
    assert "published rule: real" in ended.out and "null: deep mean" in ended.out
