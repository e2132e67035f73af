"""Run directories: whole or absent, one writer, DONE last."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from epochal.core.values.errors import UserError
from epochal.store import RunDirectory, list_runs
from epochal.store.lock import is_held

Make = Callable[..., RunDirectory]


def test_a_new_run_has_its_four_files_and_no_empty_folder(make_run: Make) -> None:
    with make_run(spec={"fields": {"seed": {"axis": [7, 8]}}}) as run:
        assert sorted(os.listdir(run.path)) == [
            "environment.json",
            "lock",
            "members.parquet",
            "schema.json",
            "spec.json",
        ]
        assert run.name == "algorithmic-demo-0123abcd"
        assert run.spec["format"] == 1
        assert run.spec["fields"] == {"seed": {"axis": [7, 8]}}
        assert json.loads(run.paths.schema.read_text())["columns"] == run.schema
        assert pl.read_parquet(run.paths.members)["outcome"].to_list() == ["running", "running"]
        assert not run.is_done()


def test_the_same_name_twice_is_refused_and_the_first_untouched(make_run: Make) -> None:
    with make_run() as run:
        before = run.paths.spec.read_bytes()
        with pytest.raises(UserError, match=r"0123abcd exists already; .*--again"):
            make_run(spec={"max_steps": 5})
        assert run.paths.spec.read_bytes() == before


def test_an_error_leaves_no_trace(make_run: Make, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        make_run(environment={"device": object()})
    assert os.listdir(tmp_path / "runs") == [".lock"]
    make_run().close()


CREATE = """
import os, signal, sys
from pathlib import Path
import polars as pl
from epochal.store import RunDirectory
import epochal.store.directory as directory
name, last = sys.argv[2:]
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
if last == "rename": os.rename = die
else: setattr(directory, last, die)
members = pl.DataFrame({"member": [0], "member_id": ["a"]})
schema = {"member": "int64", "step": "int64"}
RunDirectory.create(Path(sys.argv[1]), name, spec={}, environment={}, members=members, schema=schema)
"""


def test_a_kill_while_creating_leaves_no_run_and_the_next_create_clears_it(
    make_run: Make, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    for last in ("write_json", "rename"):
        killed = subprocess.run([sys.executable, "-c", CREATE, runs, f"run-{last}", last])
        assert killed.returncode == -signal.SIGKILL
        assert f".run-{last}.tmp" in os.listdir(runs)
        assert list_runs(runs).is_empty()
    make_run().close()
    assert sorted(os.listdir(runs)) == [".lock", "algorithmic-demo-0123abcd"]


HOLD = """
import sys
from pathlib import Path
from epochal.store import RunDirectory
run = RunDirectory.open(Path(sys.argv[1]))
print(flush=True)
sys.stdin.read()
"""


def test_one_process_at_a_time_and_a_killed_one_lets_go(make_run: Make) -> None:
    run = make_run()
    run.close()
    command = [sys.executable, "-c", HOLD, str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert is_held(run.paths.lock)
        with pytest.raises(
            UserError, match=rf"0123abcd is in use by process {child.pid} on .*; wait for it or stop"
        ):
            RunDirectory.open(run.path)
        child.kill()
    assert not is_held(run.paths.lock)
    with RunDirectory.open(run.path) as again:
        with pytest.raises(UserError, match=f"in use by process {os.getpid()} "):
            RunDirectory.open(run.path)
        assert is_held(again.paths.lock)
    assert not is_held(run.paths.lock)


def test_creating_takes_the_lock_at_once(make_run: Make) -> None:
    with make_run() as run, pytest.raises(UserError, match="in use"):
        RunDirectory.open(run.path)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ('{"format": 2}', "has format 2, this version of epochal reads 1; open it with the version"),
        ("{}", "has format None"),
        ("[1]", r"spec\.json is damaged"),
        ('{"format"', r"spec\.json is damaged"),
        (None, "is not a run"),
    ],
)
def test_what_this_version_cannot_read_is_refused(make_run: Make, spec: str | None, message: str) -> None:
    run = make_run()
    run.close()
    run.paths.spec.unlink() if spec is None else run.paths.spec.write_text(spec)
    with pytest.raises(UserError, match=message):
        RunDirectory.open(run.path)


def test_opening_clears_what_a_killed_writer_left(make_run: Make) -> None:
    run = make_run()
    run.close()
    program = (
        "import os, signal, sys, pathlib; from epochal.store import write_file\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_file(pathlib.Path(sys.argv[1]) / 'members.parquet', b'half')"
    )
    before = sorted(os.listdir(run.path))
    subprocess.run([sys.executable, "-c", program, run.path])
    assert sorted(os.listdir(run.path)) != before
    RunDirectory.open(run.path).close()
    assert sorted(os.listdir(run.path)) == before


def test_finishing_sorts_the_records_of_all_packs(make_run: Make) -> None:
    with make_run() as run:
        for pack, member in ((10, 0), (2, 1)):
            with run.record_writer(pack) as writer:
                writer.append({"member": member, "step": s, "val_loss": s / 3} for s in (0, 5, 50))
        assert [path.name for path in run.paths.all_records()] == ["pack-2.jsonl", "pack-10.jsonl"]
        run.finish()
        assert run.is_done()
        table = pl.read_parquet(run.paths.metrics)
    assert table.select("member", "step").rows() == [(0, 0), (0, 5), (0, 50), (1, 0), (1, 5), (1, 50)]
    assert table["val_loss"].to_list() == [0.0, 5 / 3, 50 / 3] * 2
    assert table.columns == list(run.schema)


def test_a_damaged_record_keeps_the_run_from_being_done(make_run: Make) -> None:
    with make_run() as run:
        run.record_writer(0).close()
        run.paths.records(0).write_bytes(b"{\n{}\n")
        with pytest.raises(UserError, match="line 1"):
            run.finish()
        assert not run.is_done()
        assert not run.paths.metrics.exists()


def test_done_is_the_last_file_written(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    real = os.replace

    def replace(old: Path, new: Path) -> None:
        written.append(new.name)
        real(old, new)

    monkeypatch.setattr(os, "replace", replace)
    with make_run() as run:
        written.clear()
        run.finish()
    assert written == ["metrics.parquet", "DONE"]


def test_the_log_has_a_time_in_utc_on_every_entry(make_run: Make) -> None:
    with make_run() as run:
        run.append_log("started")
        run.append_log("two\nlines\n")
        lines = run.paths.log.read_text().splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "
    assert [bool(re.match(stamp, line)) for line in lines] == [True, True, False]
    assert lines[1].endswith("Z two") and lines[2] == "    lines"


@pytest.mark.parametrize("name", ["", "a/b", ".hidden"])
def test_a_name_that_is_no_folder_is_our_own_bug(make_run: Make, name: str) -> None:
    with pytest.raises(AssertionError):
        make_run(name)


@pytest.mark.parametrize(
    "part",
    [{"members": pl.DataFrame({"member": [0]})}, {"schema": {"member": "int64"}}],
    ids=["members", "schema"],
)
def test_a_run_without_its_keys_is_our_own_bug(make_run: Make, tmp_path: Path, part: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        make_run(**part)
    assert list_runs(tmp_path / "runs").is_empty()
