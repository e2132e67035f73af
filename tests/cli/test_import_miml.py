"""MIML-grokking's tree of logs becomes a run, and every figure is drawn from it, as a user types it."""

import json
from pathlib import Path

import polars as pl
import pytest

import epochal
from tests.cli.conftest import Call
from tests.miml_logs import TREE, write_log


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("miml")
    for folder, planted in TREE.items():
        write_log(root / folder / "metrics.csv", planted)
    return root


FIGURES = [
    ("accuracy", ["panels=weight_decay", "colour=none"]),
    ("loss", ["colour=modulus", "panels=none"]),
    ("accuracy", ["colour=operand_fraction", "panels=none"]),
    ("steps-to-threshold", ["panels=settings", "columns=batch_accuracy,val_accuracy"]),
    ("best-accuracy", []),
    ("best-accuracy", ["values=first,best,last", "settings=optimizer,learning_rate"]),
    ("phase", ["x=train_fraction", "y=optimizer", "delay=1000", "within=100000"]),
    ("measures", ["columns=paramnorm_embedding.weight,val_perplexity", "colour=none"]),
    ("events", []),
    ("final", ["x=train_fraction", "lines=optimizer"]),
]


@pytest.mark.usefixtures("without_pages")
def test_the_tree_is_imported_and_every_figure_drawn(call: Call, tree: Path, tmp_path: Path) -> None:
    ended = call("import", "lightning", str(tree))
    assert ended.code == 0 and f"members {len(TREE)}" in ended.out
    path = next(Path(line.split()[1]) for line in ended.out.splitlines() if line.startswith("run "))
    run = epochal.load(path)
    assert run.schema["train_accuracy"]["source"].endswith("full_train_acc")
    assert set(run.members["modulus"]) == {23, 31, 97, 151}
    for number, (name, options) in enumerate(FIGURES):
        drawn = call(
            "figure", name, path.name, *options, "--formats", "svg", "-o", str(tmp_path / str(number))
        )
        assert (drawn.code, drawn.err) == (0, "")
        assert list((tmp_path / str(number)).glob("*.svg")) and list((tmp_path / str(number)).glob("*.csv"))
    some = ["--only", "modulus=97", "--only", "optimizer=adamw"]
    assert (
        call("figure", "accuracy", path.name, *some, "--formats", "svg", "-o", str(tmp_path / "some")).code
        == 0
    )
    kept = pl.read_csv(tmp_path / "some" / "accuracy-val_accuracy.csv")["member"].n_unique()
    assert kept == sum("AdamW" in folder or "decay" in folder for folder in TREE)
    assert call("import", "lightning", str(tree)).out.count("imported before") == 1
    assert call("import", "lightning", str(tree), "--epochs", "twice").err.startswith(
        "epochal: --epochs twice is not one of halved, logged"
    )
    for words, message in (
        (["--only", "modulus"], "--only modulus is no FIELD=VALUES"),
        (["--only", "modulus=97", "--only", "modulus=31"], "names its field again"),
        (["--only", "modulus=98"], "no member of"),
    ):
        assert message in call("figure", "accuracy", path.name, *words).err
    assert json.loads((path / "spec.json").read_text())["imported"]["program"] == "Lightning"
