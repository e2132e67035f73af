"""Presets of the published systems: sizes, what is read, what is off, and that each one trains."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import epochal
from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.experiments.catalog import find
from tests.engine.programs import records, trained

PARAMETERS = {
    "miml": 455_424,
    "miml-lstm": 351_855,
    "miml-mlp": 249_839,
    "openai": 455_424,
    "nanda": 226_816,
    "gromov": 145_500,
    "grokfast": 422_656,
}
"""Counted in the originals' code; without what it never uses (embeddings of MIML's LSTM and MLP, one
position of Grokfast's five)."""


def built(name: str, preset: str, **settings: Any) -> tuple[Program, Any]:
    experiment = find(name)
    request = experiment.request(settings, preset=preset)
    program: Program = experiment.build(request.members)
    return program, request.spec


def first_updates(program: Program, count: int) -> Any:
    population, stepper = initial_population(program), Stepper(program)
    for _ in range(count):
        stepper.update(population)
    return population


@pytest.mark.parametrize("preset", PARAMETERS)
def test_parameters_are_those_of_the_original(preset: str) -> None:
    program, spec = built("algorithmic", preset)
    assert program.network.layout.size == PARAMETERS[preset]
    assert spec.stop_metric == "none"


def test_every_preset_of_a_published_system_is_counted() -> None:
    assert set(find("algorithmic").presets) == {"demo", *PARAMETERS}
    assert all(preset.meaning for preset in find("algorithmic").presets.values())


@pytest.mark.parametrize("preset", PARAMETERS)
def test_a_small_form_of_each_trains(preset: str) -> None:
    """With rate 0 in the first update where the original has it."""
    small = {"modulus": 11, "width": 16, "train_fraction": 0.5, "max_steps": 50}
    small |= {"learning_rate": 10.0} if preset == "gromov" else {}
    small |= {"batch_size": 16} if preset == "grokfast" else {}
    program, spec = built("algorithmic", preset, **small)
    once, later = first_updates(program, 1), first_updates(program, 8)
    assert bool(later.is_alive.all()) and not torch.equal(later.flat, later.initial)
    assert torch.equal(once.flat, once.initial) == spec.warmup_from_zero


def test_mimls_epoch_has_nine_batches_of_512_and_a_ragged_one() -> None:
    program, _ = built("algorithmic", "miml")
    assert (program.batch_size, program.steps_per_epoch, program.task.size("train")) == (512, 10, 4704)


def test_the_issues_command_is_a_run_of_three() -> None:
    request = find("algorithmic").request(
        {"train_fraction": 0.5, "seed": "0:3", "max_steps": 2000}, preset="nanda"
    )
    assert len(request.members) == 3 and request.spec.max_steps == 2000
    assert request.command == (
        "epochal run algorithmic preset=nanda train_fraction=0.5 max_steps=2000 seed=0:3"
    )


def test_new_fields_change_no_identity() -> None:
    assert find("algorithmic").request({}, preset="demo").name == "algorithmic-demo-8aae4a1d"


@pytest.mark.parametrize("preset", ["omnigrok", "grokfast"])
def test_image_presets_are_the_published_mlp(preset: str) -> None:
    """On the digits, which are there: 64 pixels in place of MNIST's 784."""
    program, spec = built("images", preset, data="digits", held_out_fraction=0.2)
    assert program.network.layout.size == 64 * 200 + 200 + 200 * 200 + 200 + 200 * 10 + 10
    assert program.task.size("train") == 1000 and spec.max_steps == 100_000
    start = program.network.layout.unflatten(initial_population(program).flat[0])
    # Uniform within 1 / sqrt(inputs), times 8, biases too.
    for name, inputs in (("layer.0.weight", 64), ("layer.1.bias", 200), ("readout.weight", 200)):
        assert 0.9 * 8 / inputs**0.5 < start[name].abs().max() <= 8 / inputs**0.5
    assert spec.chain() == (*(("grokfast_ema",) if preset == "grokfast" else ()), "adamw", "decay_to_zero")


OMNIGROK = {
    "data": "mnist", "n_train": 1000, "normalization": "raw", "model": "mlp", "depth": 2, "width": 200,
    "activation": "relu", "initialization": "torch", "init_scale": 8.0, "init_scaled": "all",
    "objective": "mse", "optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.01, "beta1": 0.9,
    "beta2": 0.999, "adam_epsilon": 1e-8, "warmup_steps": 0, "anneal_steps": 0, "batch_size": 200,
    "max_steps": 100_000, "grokfast": "off", "stop_metric": "none", "dropout": 0.0,
}  # fmt: skip
"""grokfast 93b2248, main_mnist.py: its defaults, and those of torch.optim.AdamW that it takes."""


@pytest.mark.parametrize(
    ("preset", "changed"),
    [
        ("omnigrok", {}),
        (
            "grokfast",
            {"grokfast": "ema", "grokfast_alpha": 0.8, "grokfast_lambda": 0.1, "weight_decay": 2.0},
        ),
    ],
)
def test_image_presets_have_every_published_value(preset: str, changed: dict[str, Any]) -> None:
    experiment = find("images")
    fields = experiment.spec_class.model_fields
    given = experiment.presets[preset].settings
    values = {name: given.get(name, fields[name].default) for name in {**OMNIGROK, **changed}}
    assert values == {**OMNIGROK, **changed}


def idx(array: Any) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return bytes(head + array.tobytes())


@pytest.mark.parametrize("preset", ["omnigrok", "grokfast"])
def test_image_presets_run_from_files_in_the_official_format(preset: str, tmp_path: Path) -> None:
    """28 x 28 bytes, of which the class's own two columns are bright: 784 inputs, of 0 to 1."""
    random = np.random.Generator(np.random.PCG64(0))
    for stem, count in (("train", 1200), ("t10k", 200)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = random.integers(0, 100, (count, 28, 28), dtype=np.uint8)
        for column in (0, 1):
            images[np.arange(count), :, 2 * labels + column] = 255
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            (tmp_path / f"{stem}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx(array)))
    program, _ = built("images", preset, data="idx", data_path=str(tmp_path))
    assert program.network.layout.size == 199_210
    own = {name: values[0] for name, values in program.fields.items()}
    batch = program.task.batch(program.task.index("train", own), own, torch.tensor(0))
    assert batch.inputs.shape == (1000, 1, 28, 28) and batch.inputs.max() == 1.0
    bright = (batch.inputs[:, 0, 0, ::2] == 1.0).nonzero()
    assert torch.equal(bright[:, 1], batch.targets)
    run = epochal.run(
        "images", preset=preset, data="idx", data_path=str(tmp_path), max_steps=150, record_every=150,
        runs=tmp_path / "runs", progress=False,
    )  # fmt: skip
    assert run.environment["splits"] == {"train": 1000, "val": 200}
    accuracy = run.metrics["train_accuracy"].to_list()
    # From a start that is 8 times as large: outputs 8^3 times as large, whose error falls first.
    assert accuracy[0] < 0.25 and accuracy[-1] > accuracy[0]
    losses = run.metrics["train_loss"].to_list()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("seed", [0, 1])
def test_gromovs_network_memorises_and_then_generalises_without_regularisation(seed: int) -> None:
    """His claim at p = 23, width 100, 70% of the table: squared error, gradient descent, no decay."""
    program, spec = built(
        "algorithmic", "gromov", modulus=23, width=100, train_fraction=0.7, learning_rate=1e4, max_steps=600,
        record_every=50, seed=seed, precision="float64",
    )  # fmt: skip
    assert (spec.optimizer, spec.momentum, spec.weight_decay) == ("sgd", 0.0, 0.0)
    _, moments = trained(program)
    train, val = (records(moments, f"{split}_accuracy")[:, 0] for split in ("train", "val"))
    memorised = int(np.argmax(train > 0.99))
    assert train[memorised] > 0.99 and val[memorised] < 0.8 and val[-1] > 0.99


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"activation": "quadratic"}, "activation=quadratic needs model=mlp, not model=transformer"),
        (
            {"parametrization": "mean_field"},
            "parametrization=mean_field needs model=mlp, not model=transformer",
        ),
    ],
)
def test_what_a_model_does_not_have_is_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        find("algorithmic").request(settings)


def test_widths_of_models_without_heads_are_free() -> None:
    assert find("algorithmic").request({"model": "mlp", "width": 50}).fields()["width"] == 50
