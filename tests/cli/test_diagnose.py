"""`epochal diagnose` and `epochal doctor`: what they print, and how they refuse."""

import json

import pytest

from epochal.launch.diagnosis.rules import RULES
from tests.cli.conftest import TINY, Call, Have

SNAPSHOTS = (*TINY, "snapshot_every=10", "model=mlp", "depth=1", "activation=relu")


def test_a_healthy_run_and_its_measures(call: Call, have: Have) -> None:
    run = have("algorithmic", *SNAPSHOTS, "seed=0:2")
    ended = call("diagnose", run.name)
    assert ended.code == 0
    assert "weight norm" in ended.out and "layer.0" in ended.out
    assert f"nothing looks wrong by {len(RULES)} rules; --detailed asks more" in ended.out


def test_detailed_rows_as_json(call: Call, have: Have) -> None:
    run = have("algorithmic", *SNAPSHOTS, "seed=0:2")
    rows = json.loads(call("diagnose", run.name, "--detailed", "--members", "1", "--json").out)
    measures = [row for row in rows if row["table"] == "measures"]
    assert [(row["member"], row["step"]) for row in measures] == [(1, 0), (1, 10), (1, 20)]
    for row in measures:
        assert row["top_eigenvalue"] > row["smallest_eigenvalue"] and row["trace_error"] >= 0
        assert row["dead_units_highest"] <= 1 and row["weight_norm"] > 0
    section = [row for row in rows if row["table"] == "section"]
    # The ends of the section are the losses at the snapshots.
    for row in section:
        if row["fraction"] in (0.0, 1.0):
            step = row["to_step"] if row["fraction"] else row["from_step"]
            (there,) = [one for one in measures if one["step"] == step]
            assert row["train_loss"] == pytest.approx(there["train_loss"], rel=1e-5)
    assert len(section) == 10


def test_a_run_that_blows_up_is_told(call: Call, have: Have) -> None:
    run = have("algorithmic", *SNAPSHOTS, "optimizer=sgd", "learning_rate=1e4")
    ended = call("diagnose", run.name)
    assert ended.code == 0 and "what looks wrong" in ended.out
    assert "divergence" in ended.out or "weights grow" in ended.out


def test_what_cannot_be_diagnosed_is_one_line(call: Call, have: Have) -> None:
    run = have("algorithmic", *SNAPSHOTS, "seed=0:2")
    ended = call("diagnose", run.name, "--members", "7")
    assert ended.code == 2 and len(ended.complaint) == 1 and "member=7 is not in" in ended.complaint[0]


def test_a_good_installation_is_good(call: Call) -> None:
    rows = json.loads(call("doctor", "--json").out)
    assert {row["state"] for row in rows} == {"good"} and len(rows) == 8


def test_a_broken_one_is_named(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epochal.cli.doctor.KNOWN_BITS", [1, 2])
    monkeypatch.setattr("epochal.cli.doctor._tiny_run", lambda: "left out")
    ended = call("doctor")
    assert ended.code == 1
    assert "BAD" in ended.out and "7 of 8 checks are good; look at double precision" in ended.out
