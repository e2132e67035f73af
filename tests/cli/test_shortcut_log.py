"""A run with a cue leaves CausalGrok's files; ``epochal export --shortcut-log`` writes them by hand."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import epochal
from epochal.core.tensors import random
from epochal.experiments.restore import program_of
from epochal.store.run import Run
from tests.cli.conftest import Call


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 training, 30 validation and 20 test images, 8 x 8, grey, brighter in one of two classes."""
    generator = np.random.Generator(np.random.PCG64(0))
    path = tmp_path_factory.mktemp("images") / "greys.npz"
    arrays: dict[str, Any] = {}
    for split, count in (("train", 40), ("val", 30), ("test", 20)):
        labels = generator.integers(0, 2, (count, 1), dtype=np.uint8)
        images = generator.integers(0, 200, (count, 8, 8), dtype=np.uint8) + 50 * labels[:, :, None]
        arrays |= {f"{split}_images": images.astype(np.uint8), f"{split}_labels": labels}
    np.savez(path, allow_pickle=False, **arrays)
    return path


TINY = ["channels=rgb", "width=8", "depth=1", "batch_size=20", "epochs=3", "record_every=1ep", "threads=1"]
PROBES = "loss,accuracy,weight_norm,feature_rank,irm,occlusion"


def test_it_leaves_the_files_and_writes_them_again(call: Call, runs: Path, file: Path) -> None:
    words = ["run", "images", "data=npz", f"data.path={file}", "cue=patch", "seed=0:2", *TINY]
    ended = call(*words, f"probes={PROBES}")
    assert ended.code == 0, ended.err
    run = epochal.load(next(runs.glob("images-*")))
    places = [run.path / "causalgrok" / f"custom-spurious0.8-n40-s{seed}" / "results" for seed in (0, 1)]
    for member, place in enumerate(places):
        history, summary = (
            json.loads((place / f"{name}.json").read_text()) for name in ("history", "summary")
        )
        assert [row["epoch"] for row in history] == [1, 2, 3] and "notes" not in summary
        assert all(value is not None for row in history for value in row.values())
        assert summary["test_acc"] == pytest.approx(right_of(run, member, file))
    assert "Beside CausalGrok" in run.paths.report.read_text()
    before = places[0].joinpath("summary.json").read_bytes()
    shutil.rmtree(run.path / "causalgrok")
    again = call("export", str(run.path), "--shortcut-log")
    assert again.code == 0 and again.out.splitlines() == [str(place.parent) for place in places]
    assert places[0].joinpath("summary.json").read_bytes() == before
    refused = call("export", str(run.path), "--shortcut-log", "--member", "1")
    assert (
        refused.code == 2 and "leave --credit-log, --arviz, --member, --step and --output out" in refused.err
    )


def right_of(run: Run, member: int, file: Path) -> float:
    """Accuracy on the test images by hand: the cue is stamped by the published rule of the task itself."""
    task = program_of(run, [member], executor="loop").task
    fields = {
        name: torch.tensor(value)
        for name, value in {
            "spurious_seed": member,
            "split_seed": member,
            "label_noise": 0.0,
            "rho": 0.8,
        }.items()
    }
    batch = task.batch(task.index("test", fields), fields, random.key(torch.tensor(0), "any"))
    labels = np.load(file)["test_labels"][:, 0]
    assert batch.targets.tolist() == labels.tolist()
    with torch.no_grad():
        predicted = run.model(member)(batch.inputs).argmax(-1)
    return float((predicted == batch.targets).double().mean())


def test_without_a_cue_there_is_nothing_to_write(call: Call, runs: Path, file: Path) -> None:
    ended = call("run", "images", "data=npz", f"data.path={file}", *TINY)
    assert ended.code == 0, ended.err
    (path,) = runs.glob("images-*")
    assert not (path / "causalgrok").exists()
    refused = call("export", str(path), "--shortcut-log")
    assert refused.code == 2 and "it needs cue=patch, tint or texture" in refused.err


def test_test_images_that_there_are_not_are_no_split_to_measure(call: Call, runs: Path) -> None:
    refused = call(
        "run", "images", "data=digits", "epochs=1", "probe_options.accuracy.splits=test", *TINY[1:4]
    )
    assert refused.code == 2 and "these data have no test split" in refused.err
    assert not runs.exists() or not list(runs.iterdir())
