"""study, new study and check on the command line."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from epochal.launch import plan as planning
from epochal.launch.watching import live
from epochal.launch.watching.listener import Silent, Start
from tests.cli.conftest import Call
from tests.launch.studies import write


def test_studies_are_listed_without_torch(call: Call) -> None:
    assert "grokking-delay" in call("study").out
    listed = [row["study"] for row in json.loads(call("study", "--json").out)]
    assert listed == [
        "causal-grokking", "feedback-null", "grokking-delay", "modular-grokking", "residual-explosion",
        "robust-grokking",
    ]  # fmt: skip


def test_a_study_says_its_verdicts_and_where_its_page_is(call: Call, tmp_path: Path) -> None:
    ended = call("study", write(tmp_path), "--quick")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[:3] == ["question    Does it learn?", "prediction  It does.", "exploratory the quick form"]
    sentence = "slow learns: supported; 2; margin 3; p = 0.001, 0.002 adjusted (given, against n); 2 runs."
    assert f"{sentence} Exploratory." in lines
    [study] = (tmp_path / "studies").iterdir()
    assert lines[-1] == f"report  {study / 'report.html'}"
    rows = json.loads(call("study", write(tmp_path), "--quick", "--json").out)
    assert [row["exploratory"] for row in rows] == [True, True]


@pytest.mark.usefixtures("without_pages")
def test_an_arm_that_lacks_its_data_is_told_in_one_line(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHAL_DATA", str(tmp_path / "none"))
    path = Path(write(tmp_path).rpartition(":")[0])
    xrays = 'Arm(experiment="images", data=("pneumoniamnist",), form="quick", quick={"max_steps": 2})'
    path.write_text(path.read_text().replace('"slow": arm(', f'"xrays": {xrays}, "slow": arm('))
    said = (
        f"left out    xrays: pneumoniamnist is not in {tmp_path / 'none'}; `epochal data get pneumoniamnist` "
    )
    planned = call("study", f"{path}:tiny", "--quick", "--plan")
    assert planned.err.startswith(said)
    ended = call("study", f"{path}:tiny", "--quick")
    assert ended.code == 0 and said in ended.out and ended.err.startswith(said)
    rows = json.loads(call("study", f"{path}:tiny", "--quick", "--json").out)
    assert [row["claim"] for row in rows] == ["slow learns", "fast learns"]


def test_a_plan_says_which_arm_it_times(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    @contextmanager
    def waiting() -> Iterator[Callable[[str, int, int], None]]:
        yield lambda *told: seen.append(told)

    def plan(*arguments: Any) -> Any:
        seen.append("timed")
        return whole(*arguments)

    whole = planning.plan
    monkeypatch.setattr("epochal.cli.study.waiting", waiting)
    monkeypatch.setattr(planning, "plan", plan)
    monkeypatch.setattr(planning, "TIMED_SECONDS", 0)
    ended = call("study", write(tmp_path), "--quick", "--plan")
    assert ended.code == 0 and "nothing was trained" in ended.out
    assert seen == [("timing slow", 0, 2), "timed", ("timing fast", 1, 2), "timed"]


@pytest.mark.usefixtures("without_pages")
def test_an_interrupted_study_says_how_to_go_on(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting(Silent):
        num_runs = 0

        def __init__(self, _console: object) -> None: ...

        def started(self, start: Start) -> None:
            self.num_runs += 1

        def updated(self, pack: int, step: int) -> None:
            if self.num_runs == 2 and step == 7:
                os.kill(os.getpid(), signal.SIGINT)

    subject = write(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(live, "LiveDisplay", Interrupting)
        ended = call("study", subject)
    assert ended.code == 130
    [line] = ended.complaint
    assert "the study stopped at step 7 of 12 of the run" in line
    assert line.endswith(f"to resume, give epochal study {subject}")
    resumed = call("study", subject)
    assert resumed.code == 0
    assert "Exploratory" not in resumed.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["grokking-dely"],
            "unknown study grokking-dely: did you mean 'grokking-delay' or",
        ),
        (["./none.py:study"], "study=./none.py:study: there is no file ./none.py"),
        (["grokking-delay", "sead=0:3"], "sead is no field of the study's arms: did you mean 'seed'"),
        (["grokking-delay", "preset=demo"], "preset=demo: an arm keeps its preset"),
        (
            ["grokking-delay", "--look", "2"],
            "--look 2: the study declares 1 look; a further one is another study",
        ),
        (["grokking-delay", "0:3"], "'0:3' is not FIELD=VALUE"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    call: Call, tmp_path: Path, words: list[str], said: str
) -> None:
    ended = call("study", *words)
    assert ended.code == 2
    [line] = ended.complaint
    assert line.startswith(said)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("without_pages")
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("return found[", "return found[1 / 0:", "ZeroDivisionError"),
        ("return found[", "return [] and found[", "gives no finding; undecided is one too"),
        ("return found[", "return [7] and [7] + found[", "gives a int; give findings, figures and tables"),
        (
            'column="train_accuracy"',
            'column="accuracy"',
            "detector memorised reads accuracy, which arm slow does not",
        ),
        (
            'runs.margin("gap")',
            'runs.margin("gapp")',
            "the study declares no margin gapp: did you mean 'gap'?",
        ),
        ('question="Does it learn?"', 'question=""', "the study has no question"),
        ("tiny = Study(", "tiny = dict(", "is no study: `epochal new study tiny` writes a complete one"),
    ],
)
def test_a_study_file_that_is_wrong_is_told_where(
    call: Call, tmp_path: Path, old: str, new: str, said: str
) -> None:
    subject = write(tmp_path)
    path = Path(subject.rpartition(":")[0])
    path.write_text(path.read_text().replace(old, new))
    ended = call("study", subject, "--quick")
    assert ended.code == 2
    [line] = ended.complaint
    assert said in line


def test_a_new_study_passes_its_checks(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written = call("new", "study", "mine")
    assert written.code == 0
    assert "epochal study ./mine.py:mine --quick" in written.out
    checked = call("check", "./mine.py:mine")
    assert (checked.code, checked.out.count("pass  ")) == (0, 6)
    text = (tmp_path / "mine.py").read_text()
    (tmp_path / "mine.py").write_text(text.replace("NUM_STEPS = 1000", "NUM_STEPS = 20"))
    settings = ("modulus=7", "width=8", "heads=2", "record_every=10", "probes=accuracy", "threads=1")
    assert call("study", "./mine.py:mine", "--quick", *settings).code == 0
    (tmp_path / "mine.py").write_text(text.replace("if not happened:", "if False:"))
    failed = call("check", "./mine.py:mine")
    assert failed.code == 1
    assert "FAIL  analyse finds something to say where nothing happens" in failed.out
