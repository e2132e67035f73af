"""The command line in-process: what it prints and how it ends."""

import shutil
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
Have = Callable[..., Path]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Have:
    """The run of ``epochal run`` and these words, made once for all tests that name them: to be read only."""
    folder = tmp_path_factory.mktemp("finished")
    made: dict[tuple[str, ...], Path] = {}

    def finished(*words: str) -> Path:
        if words not in made:
            place = folder / str(len(made))
            with pytest.raises(SystemExit) as end:
                main(("run", *words, "--runs", str(place)))
            assert end.value.code == 0
            (made[words],) = place.glob("[!.]*")
        return made[words]

    return finished


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EPOCHAL_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def have(finished: Have, runs: Path) -> Have:
    """Puts a finished run into the folder of runs, as ``epochal run`` and these words would."""

    def have(*words: str) -> Path:
        run = finished(*words)
        return Path(shutil.copytree(run, runs / run.name))

    return have


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
