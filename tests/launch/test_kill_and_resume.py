"""Invariant I2: killed at any moment and resumed equals never killed, in every bit it stores."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from epochal.store.run import Run, load
from epochal.store.snapshots import load_snapshot

ROOT = Path(__file__).parents[2]


Attempt = Callable[[Path, str], int]


@pytest.fixture(scope="module")
def attempt() -> Iterator[Attempt]:
    """Exit status of one process that trains until it is done or kills itself."""
    command = [sys.executable, "-m", "tests.launch.driver"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdin is not None and driver.stdout is not None
        asked, answers = driver.stdin, driver.stdout

        def attempt(runs: Path, moment: str) -> int:
            print(moment, runs, sep="\t", file=asked, flush=True)
            status = int(answers.readline())
            assert status in (0, -signal.SIGKILL)
            return status

        yield attempt


def only_run(runs: Path) -> Run:
    (path,) = [path for path in runs.iterdir() if not path.name.startswith(".")]
    return load(path)


@pytest.fixture(scope="module")
def whole(attempt: Attempt, tmp_path_factory: pytest.TempPathFactory) -> Run:
    runs = tmp_path_factory.mktemp("whole")
    assert attempt(runs, "never") == 0
    return only_run(runs)


@pytest.mark.parametrize(
    "moments",
    [
        # In the first pack between states; inside the write of a record, of a state, of a snapshot; twice
        # in one place; while the second pack trains; before a rename; and with only DONE missing.
        ["step:3", "write:17", "write:18", "step:37", "rename:9", "write:40", "done", "rename:3"],
        # Before anything is there, then while the directory is being made.
        ["write:1", "rename:2", "write:3"],
    ],
)
def test_killed_and_resumed_equals_never_killed(
    attempt: Attempt, whole: Run, tmp_path: Path, moments: list[str]
) -> None:
    for moment in moments:
        assert attempt(tmp_path, moment) == -signal.SIGKILL, f"{moment} did not come"
        assert not list(tmp_path.glob("*/DONE"))
    assert attempt(tmp_path, "never") == 0
    resumed = only_run(tmp_path)
    assert resumed.is_done
    assert resumed.metrics.equals(whole.metrics, null_equal=True)
    assert [p.read_bytes() for p in resumed.paths.all_records()] == [
        p.read_bytes() for p in whole.paths.all_records()
    ]
    assert resumed.snapshots == whole.snapshots == [0, 10, 20, 30, 40, 50, 60]
    for step in whole.snapshots:
        for pack in (0, 1):
            theirs, ours = (load_snapshot(run.paths.snapshots, pack, step) for run in (whole, resumed))
            assert ours.tensors.keys() == theirs.tensors.keys()
            assert all(
                ours.tensors[name].tobytes() == theirs.tensors[name].tobytes() for name in ours.tensors
            )
    assert resumed.members.equals(whole.members)
    assert resumed.events.equals(whole.events, null_equal=True)
    assert not list(resumed.path.rglob("*.tmp"))
