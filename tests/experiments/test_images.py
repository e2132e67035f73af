"""The experiment ``images``: invariants under batch norm, augmentation and dropout; data from files."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import epochal
from epochal.core.values.errors import UserError
from epochal.engine.population import initial_population
from epochal.engine.train import train
from epochal.experiments.catalog import find
from tests.engine.programs import images, records, same_bits, trained

CASES: dict[str, dict[str, Any]] = {
    "mlp": {"model": "mlp", "dropout": 0.3},
    "batch norm": {"model": "resnet18", "width": 2, "crop_padding": 1, "flip": True},
    # 16 pixels: at 8 the last stage has one place, where a group of one number is its bias, on ReLU's kink.
    "group norm": {"model": "preact_resnet18", "width": 2, "norm": "group", "image_size": 16},
    "no norm": {
        "model": "preact_resnet18",
        "width": 2,
        "norm": "none",
        "channels": "rgb",
        "zero_readout": True,
    },
}


@pytest.mark.parametrize("name", CASES)
def test_i1_a_member_alone_is_the_member_in_a_pack(name: str) -> None:
    pack, _ = trained(images(seed="0:3", precision="float64", **CASES[name]))
    alone, _ = trained(images(seed=2, precision="float64", **CASES[name]))
    torch.testing.assert_close(alone.flat[0], pack.flat[2], rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(alone.buffers[0], pack.buffers[2], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_i2_a_restored_population_continues_bit_for_bit(name: str) -> None:
    made = images(seed="0:2", **CASES[name])
    whole, _ = trained(made)
    population = initial_population(made)
    for moment in train(made, population):
        if moment.step == 7:
            break
    stored = {key: value.clone() for key, value in population.tensors().items()}
    resumed = initial_population(made).restored(7, stored)
    list(train(made, resumed))
    assert all(same_bits(value, whole.tensors()[key]) for key, value in resumed.tensors().items())


@pytest.mark.parametrize("name", CASES)
def test_i3_watching_changes_nothing(name: str) -> None:
    quiet, _ = trained(images(seed="0:2", probes="", **CASES[name]))
    watched, _ = trained(
        images(seed="0:2", record_every=1, probes="loss,accuracy,gradient_norm", **CASES[name])
    )
    assert all(same_bits(value, quiet.tensors()[key]) for key, value in watched.tensors().items())


@pytest.mark.parametrize("name", CASES)
def test_i4_a_diverging_member_changes_no_bit_of_its_neighbours(name: str) -> None:
    made = images(seed="0:3", **CASES[name])
    calm, _ = trained(made)

    def explode(population: Any) -> None:
        population.flat[1] = torch.inf

    wild, moments = trained(made, change=explode)
    assert wild.outcomes(12)[1].status == "diverged"
    assert same_bits(wild.buffers[1], initial_population(made).buffers[1]), "frozen in place"
    for member in (0, 2):
        assert same_bits(wild.flat[member], calm.flat[member])
        assert same_bits(wild.buffers[member], calm.buffers[member])
    assert np.isfinite(records(moments, "train_loss")[:, [0, 2]]).all()


def test_networks_learn_the_digits() -> None:
    made = images(n_train=1000, width=50, batch_size=50, max_steps=400, record_every=400, learning_rate=3e-3)
    _, moments = trained(made)
    assert records(moments, "val_accuracy")[0, 0] < 0.3 and records(moments, "val_accuracy")[-1, 0] > 0.9


def test_epochs_say_how_many_steps() -> None:
    request = find("images").request({"data": "digits", "n_train": 100, "batch_size": 30, "epochs": 4})
    assert request.spec.max_steps == 12
    assert request.command == "epochal run images data=digits n_train=100 epochs=4 batch_size=30"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": "digit"}, "data=digit is unknown: did you mean 'digits'"),
        ({"data": "digits,mnist"}, "names several sets"),
        ({"data": "npz"}, "data=npz needs data.path=FILE"),
        ({"data": "idx"}, "data=idx needs data.path=FOLDER"),
        ({"data": "idx", "data.path": "no-such-folder"}, "no-such-folder has no train-images-idx3-ubyte"),
        ({"data": "npz", "data.path": "no-such-file.npz"}, "no-such-file.npz"),
        ({"epochs": 3, "max_steps": 10}, "give one of them"),
        ({"epochs": 3, "batch_size": "10,20"}, "gives no one number of steps"),
        ({"n_train": 10, "batch_size": 20}, "batch_size=20 exceeds the 10 training examples"),
        ({"data.path": "x", "data_path": "y"}, "data_path is set twice"),
    ],
)
def test_bad_settings_get_one_clear_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        find("images").request(settings)
    assert message in str(error.value) and len(str(error.value).splitlines()) == 1


def test_more_images_than_there_are_is_an_error() -> None:
    with pytest.raises(UserError, match="n_train=5000 is outside 1 to"):
        images(n_train=5000)


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    def write(name: str, seed: int) -> Path:
        generator = np.random.Generator(np.random.PCG64(seed))
        path = tmp_path / name
        arrays = {
            f"{split}_{kind}": generator.integers(0, 256 if kind == "images" else 2, shape, dtype=np.uint8)
            for split, count in (("train", 40), ("val", 20), ("test", 20))
            for kind, shape in (("images", (count, 6, 6)), ("labels", (count, 1)))
        }
        np.savez(path, allow_pickle=False, **arrays)
        return path

    paths = [write("a.npz", 0), write("b.npz", 0), write("c.npz", 1)]
    ids = [find("images").request({"data": "npz", "data.path": str(path)}).member_ids for path in paths]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.skipif("EPOCHAL_DATA" not in os.environ, reason="real images: set EPOCHAL_DATA to their folder")
def test_a_run_on_real_images(tmp_path: Path) -> None:
    path = Path(os.environ["EPOCHAL_DATA"]) / "pneumoniamnist_subset.npz"
    run = epochal.run(
        "images", data="npz", data_path=str(path), n_train=200, width=20, epochs=3, batch_size=50, seed="0:2",
        runs=tmp_path, progress=False,
    )  # fmt: skip
    assert run.environment["splits"] == {"train": 200, "val": 524}
    assert run.metrics["val_accuracy"].max() > 0.7  # type: ignore[operator]
