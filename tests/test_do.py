"""The `do` script: what it takes for a finished set-up, and what it says and answers.

The commands run for real in a copy of the script; only the tools in its .venv are stand-ins.
"""

import importlib.machinery
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "do"
SIDE_BY_SIDE = "<--numprocesses=auto><--maxprocesses=4><--dist=worksteal>"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="stand-ins are shell scripts; un-skip with .exe ones")


@pytest.fixture
def do(tmp_path: Path) -> ModuleType:
    """The script as a module, in a folder that has nothing else but the two files it hashes."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    shutil.copy(SCRIPT, folder)
    (folder / "pyproject.toml").write_text('[dependency-groups]\ndev = ["pytest"]\n')
    (folder / "lock.txt").write_text("pytest==9.2.0\n")
    loader = importlib.machinery.SourceFileLoader("do", str(folder / "do"))
    module = ModuleType("do")
    module.__file__ = loader.path
    loader.exec_module(module)
    return module


@pytest.fixture
def ready(do: ModuleType) -> ModuleType:
    do.BIN.mkdir(parents=True)
    do.PYTHON.symlink_to(sys.executable)
    do.STAMP.write_text(do.fingerprint(do.ROOT))
    return do


def tool(do: ModuleType, name: str, script: str) -> None:
    path = do.BIN / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def run(do: ModuleType, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(do.ROOT / "do"), *arguments]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=30)


def test_fingerprint_tells_folder_and_both_files_apart(do: ModuleType, tmp_path: Path) -> None:
    seen = [do.fingerprint(do.ROOT)]
    for name in ("pyproject.toml", "lock.txt"):
        with (do.ROOT / name).open("a") as file:
            file.write("\n")
        seen.append(do.fingerprint(do.ROOT))
    shutil.copytree(do.ROOT, tmp_path / "moved")
    seen.append(do.fingerprint(tmp_path / "moved"))
    assert len(set(seen)) == 4
    (do.ROOT / "README.md").write_text("says nothing about packages")
    assert do.fingerprint(do.ROOT) == seen[2]


def test_set_up_happens_once_again_for_new_files_and_anew_after_an_interruption(
    do: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def make_empty_environment() -> None:
        steps.append("empty")
        do.BIN.mkdir(parents=True, exist_ok=True)
        do.PYTHON.touch()

    def install() -> None:
        steps.append("install")
        if interrupt:
            raise KeyboardInterrupt

    def steps_taken() -> list[str]:
        steps.clear()
        assert do.main(["setup"]) == (130 if interrupt else 0)
        return list(steps)

    monkeypatch.setattr(do, "make_empty_environment", make_empty_environment)
    monkeypatch.setattr(do, "install", install)

    interrupt = True
    assert steps_taken() == ["empty", "install"]
    interrupt = False
    assert steps_taken() == ["empty", "install"], "an interrupted set-up was taken for a finished one"
    assert steps_taken() == []

    before = (do.ROOT / "lock.txt").read_text()
    (do.ROOT / "lock.txt").write_text("pytest==9.2.1\n")
    interrupt = True
    assert steps_taken() == ["install"]
    interrupt = False
    (do.ROOT / "lock.txt").write_text(before)
    assert steps_taken() == ["install"], "an interrupted update was taken for the state before it"
    assert steps_taken() == []

    do.PYTHON.unlink()
    assert steps_taken() == ["empty", "install"]
    do.STAMP.write_text(do.STAMP.read_text().replace(str(do.ROOT), "/elsewhere"))
    assert steps_taken() == ["empty", "install"]


def test_unknown_command_is_one_line_and_exit_code_2(do: ModuleType) -> None:
    result = run(do, "tset")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "do: unknown command 'tset'; did you mean test?\n"
    assert not do.VENV.exists()


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"]])
def test_help_names_every_command_and_sets_nothing_up(do: ModuleType, arguments: list[str]) -> None:
    result = run(do, *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert all(f"./do {name}" in result.stdout for name in do.COMMANDS)
    assert not do.VENV.exists()


def test_an_older_python_gets_one_line() -> None:
    program = f"import sys; sys.version_info = (3, 10, 2); exec(open({str(SCRIPT)!r}).read())"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == "epochal needs Python 3.11 or newer, not 3.10: try `python3.12 do`\n"


def test_arguments_and_exit_code_pass_through_from_any_folder(ready: ModuleType) -> None:
    tool(ready, "pytest", 'pwd; printf "<%s>" "$@"; exit 3')
    result = run(ready, "test", "-k", "two words")
    assert result.stdout == f"{ready.ROOT}\n{SIDE_BY_SIDE}<-k><two words>"
    assert result.returncode == 3


@pytest.mark.parametrize("subject", ["tests/test_do.py", "tests/core/test_axes.py::test_one"])
def test_tests_of_one_file_run_in_one_process(ready: ModuleType, subject: str) -> None:
    tool(ready, "pytest", 'printf "<%s>" "$@"')
    assert run(ready, "test", "-x", subject).stdout == f"<-x><{subject}>"
    assert run(ready, "test", "tests/core").stdout == f"{SIDE_BY_SIDE}<tests/core>"


def test_check_runs_every_tool_and_names_those_that_failed(ready: ModuleType) -> None:
    tool(ready, "ruff", 'test "$1" = format')
    tool(ready, "mypy", "exit 2")
    tool(ready, "lint-imports", "exit 0")
    result = run(ready, "check")
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == "check: lint, types failed"
    assert result.stdout.count("-- ") == 4


def test_bench_runs_all_or_the_named_scripts_with_the_options(ready: ModuleType) -> None:
    (ready.ROOT / "bench").mkdir()
    for name in ("first", "second", "_shared"):
        (ready.ROOT / "bench" / f"{name}.py").write_text(f"import sys; print({name!r}, *sys.argv[1:])")
    assert run(ready, "bench", "--runs", "3").stdout == "first --runs 3\nsecond --runs 3\n"
    assert run(ready, "bench", "bench/second.py").stdout == "second\n"
    unknown = run(ready, "bench", "frist")
    assert (unknown.returncode, unknown.stderr) == (2, "do: no script bench/frist.py; did you mean first?\n")


def heed_interrupts() -> None:
    """What a shell starts in the background ignores them, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupt_waits_for_the_tool_and_answers_130_without_a_traceback(ready: ModuleType) -> None:
    tool(
        ready,
        "pytest",
        "trap 'sleep 0.6; touch closed; exit 2' INT; echo started; while :; do sleep 0.05; done",
    )
    command = [sys.executable, str(ready.ROOT / "do"), "test"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 (no threads here)
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(0.1)  # until `do` waits for it
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert (ready.ROOT / "closed").exists()
        assert process.stderr.read().strip() == ""


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("ERROR: [Errno 28] No space left on device", "the disk is full"),
        ("error: failed to write\n  caused by: (os error 28)", "the disk is full"),
        ("pip._vendor.urllib3.exceptions.NewConnectionError: Failed to resolve", "check network and proxy"),
        ("Connection to index timed out", "check network and proxy"),
        ("Collecting torch\nERROR: no matching distribution\n", "failed: ERROR: no matching distribution"),
    ],
)
def test_a_failed_installation_ends_with_its_remedy(ready: ModuleType, log: str, expected: str) -> None:
    line = ready.remedy(log)
    assert expected in line
    assert "\n" not in line
