"""Detached runs, with real processes: they outlive who started them, are watched, and stop when asked."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import epochal
from epochal.core.values.errors import UserError
from epochal.launch.background.stop import ask_to_stop
from epochal.launch.watching.follow import follow
from epochal.launch.watching.listener import Silent, Start
from epochal.store.lock import acquire, holder, is_held, release
from tests.cli.conftest import TINY, Call, Have

ENDLESS = [*TINY[:3], "max_steps=1000000", "record_every=500", "threads=1"]
COMMAND = [sys.executable, "-m", "epochal.cli"]


def epochal_command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True)


@pytest.fixture
def at_work(runs: Path) -> Iterator[tuple[Path, int]]:
    """A run that a detached process trains without end, and that process."""
    ended = epochal_command("run", "algorithmic", *ENDLESS, "--detach", "--json")
    assert ended.returncode == 0, ended.stderr
    (row,) = json.loads(ended.stdout)
    try:
        yield Path(row["run"]), row["process"]
    finally:
        if is_held(Path(row["run"]) / "lock"):
            os.kill(row["process"], signal.SIGKILL)


def test_a_detached_run_is_watched_left_alone_and_stopped(at_work: tuple[Path, int], call: Call) -> None:
    path, pid = at_work
    assert os.getsid(pid) == pid != os.getsid(0), "a session of its own: no terminal can hang it up"
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{pid}/fd/1") == str(path / "output.txt")
    assert "running" in call("ls").out

    watching = subprocess.Popen([*COMMAND, "attach"], stdout=-1, stderr=-1, text=True)
    assert watching.stderr is not None
    assert "1 member, 1000000 steps, into" in watching.stderr.readline()
    watching.send_signal(signal.SIGINT)
    out, err = watching.communicate()
    assert watching.returncode == 0 and err.splitlines()[-1].startswith(f"detached; {path.name} goes on")

    again = call("run", "algorithmic", *ENDLESS, "--detach")
    assert again.code == 2 and "is at work already; `epochal attach" in again.complaint[0]
    assert holder(path / "lock") is not None

    following = subprocess.Popen([*COMMAND, "logs", path.name, "-f"], stdout=-1, stderr=-1, text=True)
    assert following.stdout is not None
    assert following.stdout.readline() == "==> output.txt <==\n"
    stopped = call("stop", path.name)
    assert stopped.code == 0 and not is_held(path / "lock")
    assert f"{path.name} has stopped: interrupted at step " in stopped.out
    assert "to resume, give epochal run algorithmic modulus=7" in stopped.out
    out, _ = following.communicate()
    assert following.returncode == 0 and "epochal: stopped at step" in out + call("logs", path.name).out

    for words, message in (
        (("stop", path.name), "is not at work: interrupted at step"),
        (("attach", path.name), "is not at work: interrupted at step"),
        (("attach",), "no run in"),
    ):
        ended = call(*words)
        assert ended.code == 2 and len(ended.complaint) == 1 and message in ended.complaint[0]


def test_attaching_until_the_end_shows_the_table(call: Call, runs: Path) -> None:
    assert call("run", "algorithmic", *TINY, "--detach").code == 0
    (path,) = runs.glob("[!.]*")
    watched = call("attach", path.name)
    assert watched.code == 0 and "finished" in watched.out and f"run     {path}" in watched.out
    assert (path / "DONE").exists() and "1 member, 20 steps" in (path / "output.txt").read_text()
    shown = call("run", "algorithmic", *TINY, "--detach")
    assert shown.code == 0 and "finished" in shown.out and "process" not in shown.out
    assert {file.name for file in runs.iterdir()} == {path.name, ".lock"}


@pytest.mark.parametrize(
    ("words", "message"),
    [(["widht=8"], "unknown field widht"), (["device=cuda:77"], "device=cuda:77 is not there")],
)
def test_bad_input_ends_at_once_and_leaves_nothing(
    call: Call, runs: Path, words: Sequence[str], message: str
) -> None:
    ended = call("run", "algorithmic", *TINY, *words, "--detach")
    assert ended.code == 2 and len(ended.complaint) == 1 and message in ended.complaint[0]
    assert not runs.exists()


def test_only_that_very_process_is_asked(have: Have, monkeypatch: pytest.MonkeyPatch) -> None:
    path = have("algorithmic", *TINY)
    (path / "DONE").unlink()
    asked: list[int] = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *_: asked.append(1))
    lock = acquire(path / "lock")
    try:
        ask_to_stop(path)
        assert asked == [1]
        me = (path / "lock").read_text()
        (path / "lock").write_text(me.replace("since ", "since 1"))
        with pytest.raises(UserError, match=r"process \d+, which trained .*, is gone"):
            ask_to_stop(path)
        (path / "lock").write_text(me.replace(socket.gethostname(), "elsewhere"))
        with pytest.raises(
            UserError, match=r"is at work on elsewhere; give `epochal stop .*` on that machine"
        ):
            ask_to_stop(path)
        (path / "lock").write_text("")
        with pytest.raises(UserError, match="held by a process that left no name"):
            ask_to_stop(path)
    finally:
        release(lock)
    assert asked == [1]


class Hearing(Silent):
    def __init__(self) -> None:
        self.start: Start | None = None
        self.records: dict[tuple[int, ...], dict[int, dict[str, list[float]]]] = {}

    def started(self, start: Start) -> None:
        self.start = start

    def recorded(self, members: Sequence[int], step: int, record: Mapping[str, NDArray[np.float64]]) -> None:
        of_pack = self.records.setdefault(tuple(members), {})
        of_pack[step] = {name: values.tolist() for name, values in record.items()}


@pytest.mark.usefixtures("without_pages")
def test_a_watcher_hears_what_the_training_process_hears(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, outside = Hearing(), Hearing()
    monkeypatch.setattr("epochal.api._listener", lambda _: inside)
    run = epochal.run(
        "algorithmic", modulus=7, heads=2, max_steps=30, record_every=5, width=[8, 12], seed=range(2)
    )
    follow(run, outside)
    assert outside.records == inside.records and len(inside.records) == 2
    assert inside.start is not None and outside.start is not None
    assert outside.start.labels == inside.start.labels
    assert (outside.start.updates, outside.start.updates_done) == (60, 60)
