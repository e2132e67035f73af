"""diff and verify: what was changed on purpose is found, where it was changed, and nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from epochal.store.difference import first_difference, is_same, relative
from epochal.store.states import load_state_at, save_state
from tests.cli.conftest import TINY, Call, Have

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def made(have: Have, runs: Path) -> Path:
    """A finished run of two packs with two members each, with a copy of itself beside it."""
    path = have("algorithmic", *TINY[:1], *TINY[2:], "width=8,12", "seed=0:2", "snapshot_every=10")
    shutil.copytree(path, runs / "copy")
    return path


def change(run: Path, member: int, step: int, column: str, value: object) -> None:
    """Sets one recorded value; the run's metrics are then read from its records."""
    for file in (run / "metrics").iterdir():
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        for row in rows:
            if (row["member"], row["step"]) == (member, step):
                row[column] = row[column] + value if isinstance(value, float) else value
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run / "DONE").unlink(missing_ok=True)


def test_a_copy_is_identical(call: Call, made: Path) -> None:
    ended = call("diff", made.name, "copy")
    assert ended.code == 0 and "identical: " in ended.out
    assert "20 records of 4 members are equal bit for bit" in ended.out
    assert json.loads(call("diff", made.name, "copy", "--json").out)["identical"] is True


def test_the_first_step_of_a_column_is_found_for_members_matched_by_id(
    call: Call, runs: Path, made: Path
) -> None:
    # Members 1 and 3 of the first are 0 and 1 of the second: matched by what they are, not by number.
    words = [*TINY[:1], *TINY[2:], "width=8,12", "seed=1,9", "snapshot_every=10"]
    assert call("run", "algorithmic", *words).code == 0
    (other,) = {path.name for path in runs.glob("[!.]*")} - {made.name, "copy"}
    found = json.loads(call("diff", made.name, other, "--json").out)
    assert (found["common"], found["only_a"], found["only_b"], found["records"]) == (2, 2, 2, 10)
    assert [row["name"] for row in found["aspects"]] == ["seed"]
    numerical = [row for row in found["partings"] if row["relative"] is None or row["relative"] > 1e-3]
    assert numerical == [], "the same member in another pack differs by rounding only"

    change(runs / "copy", 3, 15, "val_loss", 1e-9)
    change(runs / "copy", 3, 20, "val_loss", 0.5)
    ended = call("diff", made.name, "copy", "--json")
    (row,) = json.loads(ended.out)["partings"]
    assert ended.code == 1 and not json.loads(ended.out)["identical"]
    assert (row["member_a"], row["column"], row["step"], row["far_step"]) == (3, "val_loss", 15, 20)
    assert row["b"] - row["a"] == pytest.approx(1e-9, rel=1e-3)
    assert 0 < row["relative"] < 1e-6
    assert row["far_b"] - row["far_a"] == pytest.approx(0.5)
    shown = call("diff", made.name, "copy")
    assert shown.code == 1 and "the same fields, code, versions, hardware and data" in shown.out
    assert "val_loss" in shown.out and "1 of 4" in shown.out


def test_versions_hardware_code_and_data_are_told_apart(call: Call, runs: Path, made: Path) -> None:
    for file, news in (("environment", {"torch": "2.6.0", "cores": 999}), ("spec", {"semantics": 0})):
        path = runs / "copy" / f"{file}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | news))
    found = json.loads(call("diff", made.name, "copy", "--json").out)
    kinds = {(row["kind"], row["name"]) for row in found["aspects"]}
    assert kinds == {("version", "torch"), ("hardware", "cores"), ("code", "semantics")}
    assert call("diff", made.name, "nothing").code == 2


def test_what_counts_as_the_same_number() -> None:
    assert is_same(NAN, NAN) and is_same(None, None) and is_same([1.0, NAN], [1.0, NAN])
    for a, b in ((0.0, -0.0), (1.0, np.nextafter(1, 2).item()), (None, 0.0), (NAN, 1.0), (INF, -INF)):
        assert not is_same(a, b)
    assert relative(2.0, 1.0) == 0.5 and relative(0.0, -0.0) == 0 and relative(NAN, 1.0) == INF
    assert relative([1.0, 4.0], [1.0, 3.0]) == 0.25
    assert first_difference([1.0, 2.0, 3.0, 4.0], [1.0, 2.0 + 1e-9, 3.0, 5.0]) == (1, 3)
    assert first_difference([NAN, None], [NAN, None]) == (None, None)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sound_run_is_verified_and_left_as_it_is(call: Call, made: Path) -> None:
    before = contents(made)
    for pack in ("0", "1"):
        ended = call("verify", made.name, "--pack", pack)
        assert ended.code == 0 and f"equal: pack {pack}" in ended.out
        assert "from step 18 to 20" in ended.out, "the state before the last is kept, however short the run"
        assert "compared parameters and optimiser at step 20" in ended.out
        assert "compared 2 records of 2 members" in ended.out
    assert contents(made) == before
    for path in (made / "resume").iterdir():
        path.unlink()
    assert "from step 0 to 13" in call("verify", made.name, "--steps", "13").out


@pytest.mark.parametrize("what", ["record", "parameters", "optimizer.0.mean"])
def test_one_changed_bit_is_found_where_it_is(call: Call, runs: Path, made: Path, what: str) -> None:
    copy = runs / "copy"
    if what == "record":
        change(copy, 1, 20, "train_loss", 1e-12)
    else:
        state = load_state_at(copy / "resume", 0, 20)
        name = "flat" if what == "parameters" else what
        tensor = state.tensors[name].copy()
        tensor[1, 7] = np.nextafter(tensor[1, 7], np.float32(9))
        tensors = state.tensors | {name: tensor}
        save_state(copy / "resume", 0, 20, tensors, state.meta, record_offset=state.record_offset)
    environment = json.loads((copy / "environment.json").read_text())
    (copy / "environment.json").write_text(json.dumps(environment | {"torch": "2.6.0"}))
    ended = call("verify", "copy")
    assert ended.code == 1 and "different: pack 0" in ended.out and "torch: then 2.6.0, here" in ended.out
    found = json.loads(call("verify", "copy", "--json").out)["mismatches"]
    assert [(row["step"], row["member"]) for row in found] == [(20, 1)]
    expected = {"record": "train_loss", "parameters": "parameter "}.get(what, what)
    assert found[0]["what"].startswith(expected)
    assert 0 < found[0]["largest"] < 1e-6
    assert call("verify", "copy", "--pack", "1").code == 0


def test_what_cannot_be_verified(call: Call, runs: Path, made: Path) -> None:
    spec = json.loads((runs / "copy/spec.json").read_text())
    ended = call("verify", "copy", "--pack", "7")
    assert ended.code == 2 and "which has packs 0 to 1" in ended.complaint[0]
    (runs / "copy/spec.json").write_text(json.dumps(spec | {"semantics": 0}))
    ended = call("verify", "copy")
    assert ended.code == 2 and "was trained under semantics 0" in ended.complaint[0]
