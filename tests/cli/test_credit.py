"""``epochal run credit`` on a small set of colour images: what it trains, records, says and refuses."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import epochal
from epochal.experiments.catalog import named
from tests.cli.conftest import Call


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 training and 20 test images, 6 x 6, in two colours that tell two classes; no validation split."""
    generator = np.random.Generator(np.random.PCG64(0))
    path = tmp_path_factory.mktemp("images") / "colours.npz"
    arrays: dict[str, Any] = {}
    for split, count in (("train", 60), ("test", 20)):
        labels = generator.integers(0, 2, (count, 1), dtype=np.uint8)
        images = generator.integers(0, 200, (count, 6, 6, 3), dtype=np.uint8)
        images[..., 0] += 50 * labels[:, :, None]
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    np.savez(path, allow_pickle=False, **arrays)
    return path


def words(file: Path, *more: str) -> list[str]:
    tiny = ["width=12", "batch_size=25", "epochs=2", "crop_padding=1", "threads=1"]
    return ["run", "credit", "data=npz", f"data.path={file}", *tiny, *more]


def test_it_is_a_preset_of_images(call: Call, runs: Path, file: Path) -> None:
    ended = call(*words(file, "seed=0:2", "rule=backprop,dfa,frozen", "depth=3"))
    assert ended.code == 0, ended.err
    assert "val_* is measured on the test images: this set has no validation split." in ended.out
    run = epochal.load(next(runs.glob("images-credit-*")))
    assert run.spec["experiment"] == "images" and run.spec["preset"] == "credit"
    assert run.environment["val_source"] == "test" and run.environment["splits"] == {"train": 60, "val": 20}
    metrics = run.metrics
    assert metrics["epoch"].unique().sort().to_list() == [0.0, 1.0, 2.0]
    assert metrics["step"].max() == 6, "the epoch's last, smaller batch counts"
    for column in ("hidden_norm", "gradient_norm", "credit_alignment"):
        assert metrics[column].list.len().unique().to_list() == [4], "embedding and three blocks"
    assert metrics["val_accuracy"].null_count() == 0 and "train_accuracy" not in metrics.columns
    assert (metrics["sample_accuracy"] == metrics["val_accuracy"]).all(), "the sample is the whole split here"
    assert "test images" in run.paths.report.read_text()
    again = call(
        "run", "images", "preset=credit", *words(file, "seed=0:2", "rule=backprop,dfa,frozen", "depth=3")[2:]
    )
    assert again.code == 0 and len(list(runs.glob("images-credit-*"))) == 1, "the same request, the same run"
    log = call("export", str(run.path), "--credit-log", "--member", "3", "-o", str(runs / "log.json"))
    assert log.code == 0, log.err
    kept = json.loads((runs / "log.json").read_text())
    assert kept["num_classes"] == 2 and [len(kept[name]) for name in ("bp_log", "dfa_log")] == [3, 3]
    places = run.probe("hidden_norm", members=[0], progress=False)
    assert places["hidden_norm"].list.len().unique().to_list() == [4]
    measured = run.metrics.join(places, on=["member", "step"], suffix="_later")
    assert (measured["hidden_norm"] == measured["hidden_norm_later"]).all()


def test_python_takes_the_name_too(file: Path, tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "data": "npz",
        "data_path": str(file),
        "width": 8,
        "batch_size": 30,
        "epochs": 1,
        "threads": 1,
    }
    run = epochal.run("credit", runs=tmp_path, progress=False, **fields)
    assert run.spec["preset"] == "credit" and run.members["member"].to_list() == [0]
    assert run.spec["fields"]["seed"] == 42


def test_its_recipe_is_the_published_one(file: Path) -> None:
    experiment, preset = named("credit")
    request = experiment.request({"data": "npz", "data.path": str(file), "batch_size": 25}, preset)
    spec: Any = request.spec
    assert (spec.model, spec.depth, spec.width, spec.residual, spec.w2_std) == ("resmlp", 4, 256, True, 0.01)
    assert (spec.crop_padding, spec.flip, spec.probe_samples) == (4, True, 1024)
    assert (spec.optimizer, spec.learning_rate, spec.weight_decay, spec.beta2) == ("adamw", 1e-3, 0.01, 0.999)
    # Three updates an epoch, the last one small; the rate changes between epochs and ends at 0.
    assert (spec.max_steps, spec.anneal_steps, spec.anneal_every) == (300, 300, 3)
    assert (spec.anneal_final_fraction, spec.warmup_steps, str(spec.record_every)) == (0.0, 0, "1ep")
    default = experiment.spec_class.model_fields
    assert default["learning_rate"].default == 1e-3 and default["w2_std"].default == 0.01


def test_one_option_of_a_probe_leaves_the_presets_others(file: Path) -> None:
    experiment, preset = named("credit")
    settings = {
        "data": "npz",
        "data.path": str(file),
        "batch_size": 25,
        "probe_options.accuracy.splits": "both",
    }
    request = experiment.request(settings, preset)
    assert request.spec.probe_options == {"gradient_norm.of": "sites", "loss.splits": "val"}
    assert request.command.endswith("probe_options.accuracy.splits=both")
    same = experiment.request({**settings, "probe_options.accuracy.splits": "val"}, preset)
    assert same.spec.probe_options["accuracy.splits"] == "val"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["run", "credt"], "unknown experiment credt: did you mean 'credit'?"),
        (
            ["run", "credit", "preset=digits"],
            "credit stands for images preset=credit; for preset=digits write",
        ),
        (["run", "credit", "anneal_steps=5"], "anneal_steps=5 and anneal_per_epoch=true: give one of them"),
        (["run", "credit", "epochs=none", "max_steps=9"], "anneal_per_epoch=true needs epochs="),
    ],
)
def test_what_does_not_fit_is_one_clear_line(
    call: Call, runs: Path, file: Path, given: list[str], message: str
) -> None:
    ended = call(*given, "data=npz", f"data.path={file}", "batch_size=25")
    assert ended.code == 2 and len(ended.complaint) == 1 and message in ended.complaint[0], ended.err
    assert not runs.exists()


def test_show_lists_the_fields_as_it_sets_them(call: Call) -> None:
    shown = call("show", "credit")
    assert shown.code == 0 and "resmlp" in shown.out and "w2_std" in shown.out


@pytest.mark.skipif("EPOCHAL_DATA" not in os.environ, reason="real images: set EPOCHAL_DATA to their folder")
def test_networks_learn_photographs(tmp_path: Path) -> None:
    path = str(Path(os.environ["EPOCHAL_DATA"]) / "cifar10_first1000.npz")
    fields: dict[str, Any] = {
        "data": "npz",
        "data_path": path,
        "n_train": 1000,
        "epochs": 2,
        "rule": "backprop,frozen",
        "threads": 1,
    }
    run = epochal.run("credit", runs=tmp_path, progress=False, **fields)
    learned = run.metrics.sort("member", "step")["val_accuracy"].to_list()
    assert learned[2] > 0.2 > learned[0], "backprop, from chance"
    norms = np.array(run.metrics.sort("member", "step")["hidden_norm"].to_list())
    assert norms[2, -1] > 2 * norms[0, -1] and abs(norms[5, -1] / norms[3, -1] - 1) < 0.01
