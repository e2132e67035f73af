"""The command line in-process: what it prints and how it ends."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from epochal.cli import main

TINY = ["modulus=7", "width=8", "heads=2", "max_steps=20", "record_every=5", "threads=1"]


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def complaint(self) -> list[str]:
        """Lines on standard error that are the command's own."""
        return [
            line.removeprefix("epochal: ") for line in self.err.splitlines() if line.startswith("epochal: ")
        ]


Call = Callable[..., Ended]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EPOCHAL_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], runs: Path) -> Call:
    def call(*arguments: str) -> Ended:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main(arguments)
        out, err = capfd.readouterr()
        assert isinstance(end.value.code, int)
        return Ended(code=end.value.code, out=out, err=err)

    return call
