"""What was made, looked at: studies listed and shown, findings kept with a run, bars for what takes long."""

import io
import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import epochal
from epochal.cli.waiting import waiting
from epochal.launch.studies import conduct as conducting
from epochal.store.split_sizes import BY_MEMBER, split_sizes
from tests.cli.conftest import TINY, Call
from tests.cli.test_analyse import lightning, planted
from tests.launch.studies import write


def test_studies_are_listed_and_shown_with_verdict_and_standing(call: Call, tmp_path: Path) -> None:
    subject = write(tmp_path)
    assert call("study", subject).code == 0
    assert call("study", subject, "margins.gap=2").code == 0
    (row,) = json.loads(call("ls", "--only", "studies", "--json").out)
    assert (row["arms"], row["networks"], row["verdicts"]) == (2, 8, "2 supported")
    assert row["standing"] == "exploratory"  # of the last analysis
    listed = call("ls").out
    assert "studies" in listed and row["name"] in listed and "exploratory" in listed
    assert row["name"] not in call("ls", "--only", "runs").out
    assert row["name"] not in call("ls", "experiment=algorithmic").out
    assert row["name"] in call("study").out
    shown = call("show", row["name"][:4]).out
    assert "question    Does it learn?" in shown and "refuted by  It does not." in shown
    assert shown.count("slow learns: supported; 4;") == 2 and shown.count("Exploratory.") == 2
    assert "exploratory overridden: margins.gap=2" in shown
    analyses = json.loads(call("show", row["name"], "--json").out)
    assert [bool(one["exploratory"]) for one in analyses] == [False, True]
    assert "is neither runs nor studies" in call("ls", "--only", "both").complaint[0]


def test_a_study_that_was_not_conducted_is_shown_as_declared(call: Call, runs: Path) -> None:
    shown = call("show", "grokking-delay").out
    assert "margin      ratio: 3" in shown and "not conducted yet" in shown
    (row,) = json.loads(call("show", "grokking-delay", "--json").out)
    assert row["study"] == "grokking-delay" and row["margins"] == {"ratio": 3.0}
    assert call("show", "nothing-such").code == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_study_interrupted_while_it_analyses_says_how_to_go_on(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    subject = write(tmp_path)

    def interrupted(*_: object) -> None:
        signal.raise_signal(number)

    with monkeypatch.context() as patched:
        patched.setattr(conducting, "judged", interrupted)
        ended = call("study", subject)
    assert ended.code == 130
    [line] = ended.complaint
    assert "whatever was trained is stored" in line and line.endswith(f"give epochal study {subject}")
    assert "no analysis yet" in call("ls").out
    assert "Exploratory" not in call("study", subject).out


def test_arms_may_begin_at_a_checkpoint(call: Call, runs: Path, tmp_path: Path) -> None:
    assert call("run", "algorithmic", *TINY, "snapshot_every=10", "seed=0:4").code == 0
    (path,) = runs.glob("[!.]*")
    text = Path(write(tmp_path).rpartition(":")[0]).read_text()
    start, end = text.index("def arm("), text.index("tiny = Study(")
    arm = f'''def arm(learning_rate):
    return Arm(experiment="algorithmic", settings={{
        "checkpoint": "{path.name}@10", "learning_rate": learning_rate, "threads": 1}})

'''
    (tmp_path / "own.py").write_text(text[:start] + arm + text[end:])
    ended = call("study", f"{tmp_path / 'own.py'}:tiny")
    assert (ended.code, ended.complaint) == (0, [])
    (study,) = (tmp_path / "studies").iterdir()
    arms = json.loads((study / "plan.json").read_text())["plan"]["arms"]
    settings = arms["fast"]["settings"]
    assert settings["checkpoint_id"].endswith("@10") and len(arms["fast"]["member_ids"]) == 4
    for name in json.loads((study / "runs.json").read_text())["runs"].values():
        run = epochal.load(runs / name)
        assert (run.spec["origin"]["step"], run.spec["fields"]["width"]) == (10, 8) and run.members[
            "seed"
        ].to_list() == [0, 1, 2, 3]
    same = arm.replace('"learning_rate": learning_rate, ', "")
    (tmp_path / "own.py").write_text(text[:start] + same + text[end:])
    ended = call("study", f"{tmp_path / 'own.py'}:tiny")
    assert ended.code == 2 and "the same runs (slow and fast)" in ended.complaint[0]


def test_what_analyse_was_asked_is_kept_with_the_run_and_shown(
    call: Call, runs: Path, tmp_path: Path
) -> None:
    assert call("import", "lightning", str(lightning(tmp_path / "lightning_logs"))).code == 0
    (path,) = runs.glob("imported-*")
    own = epochal.load(path).findings
    assert len(own) == 3 and all(found.exploratory and found.adjusted_p is not None for found in own)
    ended = call("analyse", path.name, "--value", "val_accuracy", "--align", "train_accuracy")
    assert ended.code == 0 and f"kept    {path / 'findings.json'}" in ended.out
    kept = epochal.load(path).findings
    assert [found.claim for found in kept[3:]] == [
        "val_accuracy and train_accuracy are coupled across runs",
        "val_accuracy and train_accuracy happen at the same time",
    ]
    page = (path / "report.html").read_text()
    assert f"epochal analyse {path.name} --value val_accuracy --align train_accuracy" in page
    assert all(found.sentence in call("show", path.name).out for found in kept)
    call("analyse", path.name, "--value", "val_accuracy")  # asks whether nothing: nothing to keep
    assert len(epochal.load(path).findings) == 5


def test_arms_are_compared_where_asked_and_shapes_stand_beside_events(call: Call, tmp_path: Path) -> None:
    path = planted(tmp_path / "log.csv", [900.0, 1100.0, 1250.0, 1400.0])
    again = planted(tmp_path / "late.csv", [1700.0, 1900.0, 2050.0, 2200.0])
    rows = [f"{line},early" for line in path.read_text().split()[1:]]
    rows += [f"{line},late" for line in again.read_text().split()[1:]]
    path.write_text("\n".join(["step,seed,val_acc,irm,arm", *rows]) + "\n")
    found = json.loads(call("analyse", str(path), "--arm", "arm", "--json").out)
    (one,) = found["findings"]
    assert one["claim"] == "val_acc comes at another time under arm late than under arm early"
    assert one["estimate"] == pytest.approx(800, abs=20) and one["num_runs"] == 4
    assert {change["shape"] for change in found["changes"]} <= {"ramp", "step"}


def test_a_curve_that_changes_twice_is_told(call: Call, tmp_path: Path) -> None:
    path = planted(tmp_path / "log.csv", [800.0, 800.0])
    head, *lines = path.read_text().split()
    twice = []
    for line in lines:  # seed 1 rises to 0.5 around 800, and on to 0.9 around 2,200
        step, seed, accuracy, penalty = line.split(",")
        second = 0.4 / (1 + np.exp((2200 - int(step)) / 40))
        height = 0.2 + (float(accuracy) - 0.2) * 3 / 7 + second if seed == "1" else float(accuracy)
        twice.append(",".join([step, seed, f"{height:.4f}", penalty]))
    path.write_text("\n".join([head, *twice]) + "\n")
    ended = call("analyse", str(path), "--value", "val_acc")
    assert "val_acc: 1 of 2 runs changed more than once" in ended.out
    (lost,) = [line for line in ended.out.splitlines() if line.startswith("seed 1")]
    when, besides = lost.split("val_acc")[1].split("a rise at ")[:2]
    assert {when.split()[0][0], besides[0]} == {"2", "8"}  # one of them is the event, the other beside it


def test_a_run_may_be_named_by_what_stands_in_its_path(call: Call, tmp_path: Path) -> None:
    text = planted(tmp_path / "log.csv", [900.0]).read_text()
    for seed in range(3):
        place = tmp_path / f"seed={seed}"
        place.mkdir()
        lines = [line.split(",") for line in text.split()]
        (place / "log.csv").write_text("\n".join(",".join([a, c, d]) for a, _, c, d in lines) + "\n")
    words = [str(tmp_path / f"seed={seed}" / "log.csv") for seed in range(3)]
    ended = call("analyse", *words, "--run", "seed")
    assert ended.code == 0 and "seed 2" in ended.out
    assert "--run sead" in call("analyse", *words, "--run", "sead").complaint[0]


def test_a_last_cell_that_may_be_cut_short_is_told(call: Call, tmp_path: Path) -> None:
    path = planted(tmp_path / "log.csv", [900.0, 1000.0])
    assert "no line end" not in call("analyse", str(path)).out
    path.write_text(path.read_text()[:-3])
    assert "the last line has no line end" in call("analyse", str(path)).out


def test_a_bar_comes_late_or_not_at_all() -> None:
    for patience, is_terminal, comes in ((0.0, True, True), (60.0, True, False), (0.0, False, False)):
        text = io.StringIO()
        console = Console(file=text, force_terminal=is_terminal, width=80)
        with waiting(console, patience_seconds=patience) as tell:
            deadline = time.monotonic() + 20
            tell("looking", 1, 4)
            while comes and "looking" not in text.getvalue() and time.monotonic() < deadline:
                tell("looking", 1, 4)
        assert ("looking" in text.getvalue()) is comes


def test_each_member_has_the_trials_of_its_own_pack() -> None:
    spec = {"packs": [[0, 2], [1]]}
    sizes = [{"train": 10, "val": 90}, {"train": 50, "val": 50}]
    found = split_sizes(spec, {"splits": sizes}, range(3))
    assert [found[m]["val"] for m in range(3)] == [90, 50, 90]
    assert split_sizes({}, {"splits": sizes[0]}, range(3))[2] == sizes[0]
    assert split_sizes(spec, {BY_MEMBER: {4: sizes[1]}}, [4]) == {4: sizes[1]}
    assert split_sizes(spec, {}, range(3)) == {}
