"""The mirror to Weights & Biases, offline for real: its files hold every number of the run, once."""

import hashlib
import importlib.util
import json
import os
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import epochal
from epochal.engine.train import train
from epochal.launch.watching.mirror import _Copies

FIELDS: dict[str, Any] = {
    "modulus": 7, "width": 8, "heads": 2, "max_steps": 20, "record_every": 5, "seed": "0:2", "threads": 1,
    "progress": False,
}  # fmt: skip

HAS_WANDB = importlib.util.find_spec("wandb") is not None
needs_wandb = pytest.mark.skipif(not HAS_WANDB, reason="pip install 'epochal[wandb]' to run this")


@pytest.fixture(autouse=True, scope="module")
def service() -> Iterator[None]:
    """W&B's own process ends with these tests."""
    yield
    if HAS_WANDB:
        import wandb

        wandb.teardown()
        os.environ.pop("WANDB_SERVICE", None)


def wandb_environment() -> dict[str, str]:
    """Without the address of W&B's own process, which it puts there itself."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("WANDB") and name != "WANDB_SERVICE"
    }


def records(file: Path) -> list[Any]:
    """The protocol buffers of a ``.wandb`` file: a LevelDB log in blocks of 32 kB, after 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    new_record: Any = getattr(wandb_internal_pb2, "Record")  # noqa: B009 (made at import: no type knows it)
    data, place, found, part = file.read_bytes(), 7, [], b""
    assert data[:4] == b":W&B"
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _crc, length, kind = struct.unpack("<IHB", data[place : place + 7])
        part += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = new_record()
            record.ParseFromString(part)
            found.append(record)
            part = b""
    return found


def mirrored(path: Path) -> dict[str, dict[str, Any]]:
    """W&B id to its config, history rows by step (a list each: twice would show) and summary."""
    runs: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"rows": defaultdict(list), "summary": {}, "config": {}}
    )
    for file in sorted((path / "wandb").glob("offline-run-*/*.wandb")):
        name = ""
        for record in records(file):
            if record.HasField("run"):
                name = record.run.run_id
                runs[name]["group"], runs[name]["project"] = record.run.run_group, record.run.project
                runs[name]["config"] |= {
                    item.key: json.loads(item.value_json) for item in record.run.config.update
                }
            if record.HasField("history"):
                row = {
                    item.key or "/".join(item.nested_key): json.loads(item.value_json)
                    for item in record.history.item
                }
                runs[name]["rows"][record.history.step.num].append(row)
            if record.HasField("summary"):
                for item in record.summary.update:
                    key = item.key or "/".join(item.nested_key)
                    runs[name]["summary"][key] = json.loads(item.value_json)
    return runs


def check(run: epochal.Run) -> None:
    """Every record of every member is there once, with its very numbers."""
    found = mirrored(run.path)
    members = {runs["config"]["member"]: runs for name, runs in found.items() if not name.endswith("report")}
    assert sorted(members) == run.members["member"].to_list()
    for member, of_member in members.items():
        expected = {row["step"]: row for row in run.metrics.to_dicts() if row["member"] == member}
        rows = {step: row for step, row in of_member["rows"].items() if "val_loss" in row[0]}
        assert sorted(rows) == sorted(expected)
        for step, [row] in rows.items():
            assert {name: row.get(name) for name in expected[step] if name not in ("member", "step")} == {
                name: value for name, value in expected[step].items() if name not in ("member", "step")
            }


@needs_wandb
def test_every_record_event_and_figure_is_mirrored(tmp_path: Path) -> None:
    before = wandb_environment()
    run = epochal.run("algorithmic", **FIELDS, wandb="offline", wandb_project="trial", runs=tmp_path)
    assert wandb_environment() == before
    check(run)
    found = mirrored(run.path)
    assert {(runs["group"], runs["project"]) for runs in found.values()} == {(run.name, "trial")}
    for runs in found.values():
        if "member" in runs["config"]:
            member = runs["config"]["member"]
            assert runs["config"]["member_id"] == run.members["member_id"][member]
            assert runs["config"]["seed"] == run.members["seed"][member]
            assert runs["summary"]["outcome"] == "finished"
            for event in run.events.to_dicts():
                if event["member"] == member:
                    assert runs["summary"][f"events/{event['name']}/found"] == event["found"]
        else:
            (row,) = [row for rows in runs["rows"].values() for row in rows]
            assert row["events/nrows"] == len(run.events)
            digests = {
                f"figures/{path.stem}/sha256": hashlib.sha256(path.read_bytes()).hexdigest()
                for path in (run.path / "figures").glob("*.png")
            }
            found_digests = {name: row[name] for name in row if name.endswith("sha256") and "figures" in name}
            assert found_digests == digests != {}
    plain = epochal.run("algorithmic", **FIELDS, runs=tmp_path / "plain")
    assert plain.name == run.name and plain.metrics.equals(run.metrics)


@needs_wandb
@pytest.mark.usefixtures("without_pages")
@pytest.mark.parametrize("first", ["offline", "disabled"])
def test_a_stopped_and_resumed_run_has_every_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    whole = train

    def until_12(program: Any, population: Any, **options: Any) -> Any:
        for moment in whole(program, population, **options):
            yield moment
            if moment.step == 12:
                raise KeyboardInterrupt  # a hard stop: the resume goes back to the last state and repeats

    with monkeypatch.context() as patch:
        patch.setattr("epochal.launch.training.train", until_12)
        with pytest.raises(KeyboardInterrupt):
            epochal.run("algorithmic", **FIELDS, wandb=first, runs=tmp_path)
    check(epochal.run("algorithmic", **FIELDS, wandb="offline", runs=tmp_path))


@needs_wandb
@pytest.mark.usefixtures("without_pages")
@pytest.mark.parametrize("where", ["_opened", "rows", "results"])
def test_a_failing_mirror_is_one_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], where: str
) -> None:
    def fail(*_: object) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(_Copies, where, fail)
    run = epochal.run("algorithmic", **FIELDS | {"progress": True}, wandb="offline", runs=tmp_path)
    notes = [line for line in capfd.readouterr().err.splitlines() if "wandb=offline" in line]
    assert run.is_done and len(notes) == 1 and "ConnectionError: no route to host" in notes[0]


def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(epochal.UserError, match=r"pip install 'epochal\[wandb\]'"):
        epochal.run("algorithmic", **FIELDS, wandb="offline", runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
