"""The presets of CausalGrok, the fields of a shortcut, and its training alone, in a pack and resumed."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from epochal.core.tensors.transform import Context
from epochal.core.values.errors import UserError
from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.step import Stepper
from epochal.engine.train import train
from epochal.experiments.catalog import find, named
from epochal.tasks.shortcuts.cued_images import CuedImages
from tests.engine.programs import images, same_bits, trained

SHORTCUT: dict[str, Any] = {"cue": "patch", "channels": "rgb", "patch_size": 2, "label_noise": 0.1}
EITHER = {
    "data": "pneumoniamnist", "n_train": 500, "batch_size": 32, "last_batch": "keep", "image_size": 28,
    "channels": "rgb", "normalization": "half", "model": "resnet18", "stem": "large", "width": 64,
    "norm": "batch", "initialization": "torchvision", "init_scaled": "weights", "objective": "cross_entropy",
    "label_smoothing": 0.0, "optimizer": "adamw", "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999,
    "adam_epsilon": 1e-8, "weight_decay_kind": "auto", "warmup_steps": 0, "anneal_steps": 0,
    "gradient_clip": 1.0,
    "gradient_clip_scope": "member", "seed": 42, "spurious_seed": None, "cue": "patch", "patch_size": 4,
    "patch_place": "top_left", "cue_colors": (), "cue_strength": 1.0, "label_noise": 0.0,
    "environments": "brightness", "num_environments": 3, "crop_padding": 0, "flip": False,
}  # fmt: skip
"""What CausalGrok's presets share, as its source has it; beta1, beta2 and epsilon are torch's."""
GROKKING = {
    "weight_decay": 1e-3, "epochs": 3000, "init_scale": 4.0, "grokfast": "ema", "grokfast_alpha": 0.98,
    "grokfast_lambda": 2.0,
}  # fmt: skip
STANDARD = {"weight_decay": 1e-4, "epochs": 300, "init_scale": 1.0, "grokfast": "off"}


def spec_of(preset: str, **settings: Any) -> Any:
    """Of digits: the official images need not be there to know the fields."""
    return find("images").request({"data": "digits", **settings}, preset=preset).spec


@pytest.mark.parametrize(
    ("preset", "own", "steps"), [("shortcut", GROKKING, 48_000), ("shortcut-standard", STANDARD, 4_800)]
)
def test_presets_are_the_sources_to_the_letter(preset: str, own: dict[str, Any], steps: int) -> None:
    assert named(preset) == (named("images")[0], preset)
    settings = dict(find("images").presets[preset].settings)
    assert settings.pop("data") == "pneumoniamnist"
    spec = spec_of(preset=preset)
    found = {name: getattr(spec, name) for name in EITHER | own}
    assert found == EITHER | own | {"data": "digits"}
    assert spec.max_steps == steps  # 15 batches of 32 and one of 20
    filtered = ("grokfast_ema",) if own is GROKKING else ()
    assert spec.chain() == (*filtered, "clip", "adamw", "decay_to_zero")


def test_the_sources_overrides_are_fields() -> None:
    given = {
        "learning_rate": 3e-4, "weight_decay": 0.5, "init_scale": 2.0, "epochs": 7, "grokfast": "off",
        "n_train": 64, "seed": 1, "record_every": "5ep", "gradient_clip": 0, "cue": "none",
        "spurious_seed": 3, "probes": "loss",
    }  # fmt: skip
    spec = spec_of(preset="shortcut", **given)
    assert spec.chain() == ("adamw", "decay_to_zero") and spec.max_steps == 7 * 2
    assert not spec.has_shortcut


def test_it_records_after_the_first_epoch_and_every_fifty() -> None:
    program = built(preset="shortcut", model="mlp", depth=1, width=8, epochs=120)
    assert program.steps_of(program.probes[0][1]) == [0, 16, 800, 1600, 1920]


def built(**settings: Any) -> Program:
    experiment, preset = find("images"), settings.pop("preset", None)
    made: Program = experiment.build(
        experiment.request({"data": "digits", "device": "cpu", **settings}, preset=preset).members
    )
    return made


def test_the_network_is_torchvisions_and_starts_four_times_as_large() -> None:
    program = built(preset="shortcut")
    assert program.network.layout.size == 11_176_512 + 512 * 10 + 10
    flat = initial_population(program).flat
    plain = initial_population(built(preset="shortcut", init_scale=1)).flat
    start, usual = (program.network.layout.unflatten(value[0]) for value in (flat, plain))
    for name, value in usual.items():
        assert torch.equal(start[name], value * (4.0 if value.ndim > 1 else 1.0)), name
        if value.ndim == 4:  # He's normal by outputs, as torchvision draws convolutions
            fan_out = value.shape[0] * value.shape[2] * value.shape[3]
            deviation = (2 / fan_out) ** 0.5
            assert abs(value.std().item() / deviation - 1) < 5 / (2 * value.numel()) ** 0.5
            assert value.abs().max() > 3 * deviation
    assert usual["fc.weight"].abs().max() <= 512**-0.5 and (usual["bn1.weight"] == 1).all()


def test_the_update_is_grokfast_then_clip_then_adamw() -> None:
    """Against torch: EMA filter, clip_grad_norm_ and AdamW on the same gradients, four updates long."""
    program = built(preset="shortcut", model="mlp", depth=1, width=4, precision="float64", gradient_clip=0.3)
    flat = initial_population(program).flat
    theirs = nn.Parameter(flat[0].clone())
    optimizer = torch.optim.AdamW([theirs], lr=1e-3, weight_decay=1e-3)
    state = program.transform.init(flat)
    columns = {name: value[:, None].double() for name, value in program.fields.items()}
    mean = torch.zeros_like(theirs)
    for step in range(4):
        gradient = torch.sin(torch.arange(flat.shape[1], dtype=torch.float64) + step)[None] / (1 + 9 * step)
        mean = gradient[0].clone() if step == 0 else 0.98 * mean + 0.02 * gradient[0]
        theirs.grad = gradient[0] + 2.0 * mean
        nn.utils.clip_grad_norm_([theirs], 0.3)
        optimizer.step()
        context = Context(
            flat=flat, initial=flat, layout=program.network.layout, fields=columns,
            learning_rate=program.learning_rate(columns, step), step=step,
            key=torch.zeros(1, dtype=torch.int64),
        )  # fmt: skip
        delta, state = program.transform.update(gradient.clone(), state, context)
        flat = flat + delta
        torch.testing.assert_close(flat[0], theirs.detach(), rtol=1e-12, atol=1e-13)


def test_inputs_are_from_minus_one_to_one_in_three_channels() -> None:
    program = built(preset="shortcut", model="mlp", depth=1, width=4)
    assert isinstance(program.task, CuedImages)
    fields = {name: values[0] for name, values in program.fields.items()}
    index = program.task.index("train", fields)
    batch = program.task.batch(index, fields, fields["seed"])
    assert batch.inputs.shape == (500, 3, 28, 28)
    bare = program.task.restamped(batch, None).inputs
    assert bare.min() == -1 and bare.max() == 1
    assert torch.equal(bare[:, 0], bare[:, 1]) and torch.equal(bare[:, 0], bare[:, 2])
    assert abs(batch.factors["is_aligned"].double().mean() - 0.8) < 5 * (0.16 / 500) ** 0.5


def test_runs_without_a_shortcut_are_called_what_they_were() -> None:
    assert find("images").request({}, preset="digits").name == "images-digits-15415a98"


def test_a_default_costs_no_identity_and_every_field_of_a_shortcut_counts() -> None:
    base = find("images").request({"channels": "rgb", "cue": "patch"}).member_ids
    same: dict[str, Any] = {
        "rho": 0.8,
        "patch_size": 4,
        "spurious_seed": 0,
        "num_environments": 3,
        "penalty_weight": 100.0,
    }
    for name, value in same.items():
        assert find("images").request({"channels": "rgb", "cue": "patch", name: value}).member_ids == base
    others: dict[str, Any] = {
        "rho": 0.7, "patch_size": 3, "spurious_seed": 1, "label_noise": 0.1, "patch_place": "center",
        "cue_colors": "green,red,blue", "cue_strength": 0.5, "environments": "random",
    }  # fmt: skip
    for name, value in others.items():
        assert find("images").request({"channels": "rgb", "cue": "patch", name: value}).member_ids != base


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"rho": 0.7}, "rho=0.7 needs a cue: give cue=patch, tint or texture"),
        ({"cue_colors": "red,blue"}, "cue_colors=red,blue needs a cue"),
        ({"cue": "patch", "rho": 1.2}, "rho=1.2 is not allowed: rho is a number >= 0 and <= 1"),
        ({"cue": "patch", "cue_colors": "red,pink"}, "cue_colors has pink: choose red, blue"),
        ({"cue": "patch", "cue_colors": "red,red"}, "cue_colors has red twice"),
        ({"environments": "patch_flip"}, "environments=patch_flip differ in the cue: give cue=patch"),
        (
            {"cue": "patch", "environments": "patch_flip", "num_environments": 5},
            "num_environments=5 with environments=patch_flip, which has two",
        ),
        (
            {"cue": "patch", "environments": "rho", "rho": 0.95},
            "environments=rho reach from 0.85 to 1.05, beyond 0 to 1: lower rho_spread=0.1",
        ),
        (
            {"objective": "reweighted"},
            "objective=reweighted compares groups of label and cue: give cue=patch",
        ),
        ({"objective": "group_dro"}, "objective=group_dro compares groups of label and cue"),
        ({"cue": "stripes"}, "cue=stripes is not allowed: cue is none or patch or tint or texture"),
    ],
)
def test_fields_that_do_not_go_together_are_one_clear_line(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError) as caught:
        find("images").request(settings)
    assert problem in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["irm", "vrex", "group_dro", "reweighted"])
def test_equations_have_no_environments_to_compare(name: str) -> None:
    experiment = find("algorithmic")
    request = experiment.request({"modulus": 11, "objective": name})
    with pytest.raises(UserError, match=f"objective={name} compares .*, of which these examples have none"):
        experiment.build(request.members)


def test_an_objective_over_environments_needs_no_cue() -> None:
    program = images(objective="irm")
    assert isinstance(program.task, CuedImages) and program.task.cue is None
    population, _ = trained(program)
    assert bool(population.is_alive.all())
    assert not isinstance(images().task, CuedImages)


def test_another_factor_may_be_compared() -> None:
    by_group = images(objective="irm", objective_over="group", **SHORTCUT)
    assert (by_group.objective.factor, by_group.objective.count) == ("group", 20)  # type: ignore[attr-defined]


@pytest.mark.parametrize("cue", ["patch", "tint", "texture"])
def test_rho_and_noise_vary_in_a_pack_whose_members_are_those_alone(cue: str) -> None:
    pack, _ = trained(
        images(**{**SHORTCUT, "cue": cue, "rho": "0.2,0.9", "label_noise": "0,0.3"}, executor="loop")
    )
    for member, (rho, noise) in enumerate([(0.2, 0.0), (0.2, 0.3), (0.9, 0.0), (0.9, 0.3)]):
        alone, _ = trained(images(**{**SHORTCUT, "cue": cue, "rho": rho, "label_noise": noise}))
        assert same_bits(pack.flat[member], alone.flat[0])


def test_executors_agree_under_a_cue() -> None:
    settings = {**SHORTCUT, "rho": "0.2,0.9", "precision": "float64", "crop_padding": 1, "flip": True}
    batched, _ = trained(images(executor="vmap", **settings))
    in_turn, _ = trained(images(executor="loop", **settings))
    torch.testing.assert_close(in_turn.flat, batched.flat, rtol=1e-9, atol=1e-11)


def test_a_restored_population_continues_bit_for_bit_under_a_cue() -> None:
    made = images(seed="0:2", **SHORTCUT)
    whole, _ = trained(made)
    population = initial_population(made)
    for moment in train(made, population):
        if moment.step == 7:
            break
    stored = {key: value.clone() for key, value in population.tensors().items()}
    resumed = initial_population(made).restored(7, stored)
    list(train(made, resumed))
    assert all(same_bits(value, whole.tensors()[key]) for key, value in resumed.tensors().items())


def test_a_network_learns_the_cue_where_it_is_all_there_is() -> None:
    """At rho = 1 a linear network on a tint is right on what it never saw; labels that say nothing else."""
    made = images(
        cue="tint", channels="rgb", rho=1.0, label_noise=0.85, depth=0, n_train=400, batch_size=100,
        max_steps=600, learning_rate=1e-2, record_every=600,
    )  # fmt: skip
    _, moments = trained(made)
    last = moments[-1].record
    assert last is not None and float(np.asarray(last["val_accuracy"])[0]) > 0.95


def test_pneumonia_images_train_a_few_steps() -> None:
    folder = Path(os.environ.get("EPOCHAL_DATA", ""))
    file = folder / "pneumoniamnist_subset.npz"
    if not os.environ.get("EPOCHAL_DATA") or not file.exists():
        pytest.skip("EPOCHAL_DATA names no folder with pneumoniamnist_subset.npz")
    program = built(preset="shortcut", data="npz", data_path=str(file), n_train=40, width=4, epochs=2)
    assert program.task.num_classes == 2 and program.task.size("val") == 524
    population, stepper = initial_population(program), Stepper(program)
    for _ in range(3):
        stepper.update(population)
    assert bool(population.is_alive.all()) and not torch.equal(population.flat, population.initial)
