"""``figure``, ``ls`` with filters, and a grid as one run directory, as a user types them."""

import json
from pathlib import Path

import polars as pl
import pytest

import epochal
from tests.cli.conftest import TINY, Call, Have

GRID = ["weight_decay=0.1,1,3", "train_fraction=0.3,0.5,0.7", "seed=0:2"]


def test_a_figure_of_two_runs_is_written_with_its_numbers(call: Call, have: Have, tmp_path: Path) -> None:
    for decay in ("0.5", "1"):
        have("algorithmic", *TINY, f"weight_decay={decay}")
    options = ["--width", "3.25in", "--font", "8", "--formats", "svg,png", "-o", str(tmp_path / "paper")]
    ended = call("figure", "accuracy", "weight_decay_0.5", "weight_decay_1", "x=linear", *options)
    assert (ended.code, ended.err) == (0, "")
    written = {Path(line) for line in ended.out.splitlines()[:-2]}
    assert {path.suffix for path in written} == {".svg", ".png", ".csv"}
    assert written == set((tmp_path / "paper").iterdir())
    frame = pl.read_csv(tmp_path / "paper" / "accuracy-val_accuracy.csv")
    assert frame["colour"].unique().sort().to_list() == [0.5, 1.0] and frame["member"].n_unique() == 2
    assert 'width="234' in (tmp_path / "paper" / "accuracy.svg").read_text()


def test_figures_and_their_options_are_listed(call: Call) -> None:
    listed = {row["figure"]: row for row in json.loads(call("figure", "--json").out)}
    wanted = {"accuracy", "loss", "measures", "events", "phase", "steps-to-threshold", "final"}
    assert wanted <= set(listed) and all(row["shows"] for row in listed.values())
    options = json.loads(call("figure", "phase", "--list", "--json").out)
    assert {"x", "y", "value"} <= {row["option"] for row in options}
    assert "phase" in call("figure").out


def test_a_grid_is_one_run_with_its_phases_on_the_page(call: Call, runs: Path, tmp_path: Path) -> None:
    assert call("run", "algorithmic", *TINY, *GRID).code == 0
    (path,) = runs.glob("[!.]*")
    (row,) = json.loads(call("ls", "--json").out)
    assert (row["members"], row["outcome"]) == (18, "18 finished")
    assert epochal.load(path).members["outcome"].to_list() == ["finished"] * 18
    assert "Phases over" in (path / "report.html").read_text() and (path / "figures/phase.pdf").exists()
    for words in (["value=val_loss", "x=train_fraction"], ["value=generalisation"], ["y=seed"]):
        ended = call("figure", "phase", path.name, *words, "--formats", "png", "-o", str(tmp_path / "f"))
        assert (ended.code, ended.err) == (0, "")
    assert epochal.load_many(path).select("train_fraction").unique().collect().height == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fase"], "unknown figure fase: did you mean 'phase'"),
        (["accuracy"], "figure accuracy needs a run; `epochal ls` lists them"),
        (["accuracy", "nothing-like-it"], "no run 'nothing-like-it'"),
        (
            ["accuracy", "TINY", "--width", "3.25"],
            "--width 3.25 is no length; write a number and in, cm, mm or pt",
        ),
        (["accuracy", "TINY", "--width", "5mm"], "--width 0.197in is too narrow for accuracy: it needs"),
        (["accuracy", "TINY", "--font", "big"], "--font big is no font size"),
        (["accuracy", "TINY", "--formats", "svg,jpg"], "--formats jpg is not one of svg, pdf, png"),
        (["accuracy", "TINY", "width=3"], "figure accuracy has no option width"),
        (["final", "TINY", "column=rank"], "varies no field besides seeds"),
        (["final", "TINY", "x=seed"], "seed does not vary in algorithmic-"),
        (["measures", "TINY", "columns=rank"], "has no column rank"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_nothing_is_written(
    call: Call, have: Have, tmp_path: Path, words: list[str], message: str
) -> None:
    if "TINY" in words:
        name = have("algorithmic", *TINY, "probes=loss,accuracy").name
        words = [name if word == "TINY" else word for word in words]
    ended = call("figure", *words, "-o", str(tmp_path / "new"))
    assert ended.code == 2 and len(ended.complaint) == 1 and message in ended.complaint[0]
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("without_pages")
def test_runs_are_listed_by_name_field_and_outcome(call: Call) -> None:
    for words in (
        ["weight_decay=0.5"],
        ["weight_decay=1", "seed=0:3"],
        ["operation=*", "optimizer=sgd", "learning_rate=1000"],
    ):
        assert call("run", "algorithmic", *TINY, *words).code == 0

    def listed(*words: str) -> set[int]:
        ended = call("ls", *words, "--json")
        assert ended.code == 0
        return {row["members"] if "operation" not in row["name"] else -1 for row in json.loads(ended.out)}

    assert listed() == {1, 3, -1}
    assert listed("weight_decay=1.0", "seed=0") == {3}
    assert listed("weight_decay=0.1:0.8:0.2,0.5") == {1} and listed("weight_decay=7") == set()
    assert listed("seed=2") == {3} and listed("seed=2:9") == {3}
    assert listed("operation=*") == {-1} and listed("operation=+") == {1, 3}
    assert listed("experiment=algorithmic", "weight_decay_0.5") == {1}
    assert listed("experiment=images") == set()
    assert listed("--outcome", "diverged") == {-1} and listed("--outcome", "finished") == {1, 3}
    assert "no run in" in call("ls", "nonsense").out
    for words, message in (
        (["widht=8"], "no run has a field widht: did you mean 'width'"),
        (["a", "b"], "'b' is a second text"),
        (["--outcome", "finnished"], "outcome finnished is unknown: did you mean 'finished'"),
        (["seed=5:1"], "seed=5:1 is an empty range"),
    ):
        ended = call("ls", *words)
        assert ended.code == 2 and len(ended.complaint) == 1 and message in ended.complaint[0]
