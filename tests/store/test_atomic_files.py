"""Whole files or none."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from epochal.core.values.errors import UserError
from epochal.store.atomic import explain_disk_errors, readable_bytes, remove_stale_temporaries, write_file
from tests.store.full_disk import Disk


def test_a_written_file_holds_the_bytes_and_nothing_lies_next_to_it(tmp_path: Path) -> None:
    write_file(tmp_path / "a.bin", b"old")
    write_file(tmp_path / "a.bin", memoryview(b"new\x00"))
    assert (tmp_path / "a.bin").read_bytes() == b"new\x00"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_full_disk_leaves_the_old_file_and_no_temporary(disk: Disk) -> None:
    path = disk.folder / "spec.json"
    write_file(path, b"old")
    disk.fill()
    before = sorted(os.listdir(disk.folder))
    with pytest.raises(
        UserError, match=r"spec\.json: the .*100\.0 kB wanted, .* free .*; free some space"
    ) as error:
        write_file(path, bytes(100_000))
    assert "\n" not in str(error.value)
    assert path.read_bytes() == b"old"
    assert sorted(os.listdir(disk.folder)) == before


def test_a_kill_before_the_rename_leaves_the_old_file_and_what_it_left_is_cleared(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    write_file(path, b"old")
    program = (
        "import os, signal, sys, pathlib\n"
        "from epochal.store.atomic import write_file\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_file(pathlib.Path(sys.argv[1]), b'new')\n"
    )
    assert subprocess.run([sys.executable, "-c", program, path]).returncode == -9
    assert path.read_bytes() == b"old"
    mine = tmp_path / next(name for name in os.listdir(tmp_path) if name.endswith(".tmp"))
    living = tmp_path / mine.name.replace(f"-{_pid(mine)}-", f"-{os.getpid()}-")
    living.touch()
    remove_stale_temporaries(tmp_path)
    assert not mine.exists()
    assert living.exists()


def _pid(path: Path) -> str:
    return path.name.split("-")[-2]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_closed_folder_is_named_with_the_remedy(number: int) -> None:
    with (
        pytest.raises(UserError, match=r"cannot write x/y: .*; choose a folder"),
        explain_disk_errors(Path("x/y"), wanted_bytes=1),
    ):
        raise OSError(number, "")


def test_other_errors_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "missing" / "a", b"")


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_960, "1.0 MB"),
        (1.5e9, "1.5 GB"),
        (2e12, "2.0 TB"),
    ],
)
def test_sizes_for_people(num_bytes: float, text: str) -> None:
    assert readable_bytes(num_bytes) == text
