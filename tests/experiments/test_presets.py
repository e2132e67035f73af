"""Presets of the published systems: sizes, what is read, what is off, and that each one trains."""

from typing import Any

import pytest
import torch

from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.experiments.catalog import find

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
