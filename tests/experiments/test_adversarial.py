"""Presets and fields of adversarial experiments: sizes, units, what earlier runs called things."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import epochal
from epochal.experiments.catalog import find
from epochal.experiments.images.spec import ImagesSpec
from epochal.experiments.restore import member_spec
from epochal.launch.measuring import measurement
from epochal.probes.robust_accuracy import RobustOptions
from epochal.report.masking import masked_gradients
from epochal.tasks.datasets.image_set import Examples, ImageSet
from epochal.tasks.datasets.normalization import of_pixels, statistics


def test_the_network_is_the_published_one() -> None:
    """On the digits the stem has one channel instead of three; torchvision's shape is another network."""
    experiment = find("images")
    program = experiment.build(
        experiment.request({"data": "digits", "channels": "rgb"}, "adversarial").members
    )
    assert program.network.layout.size == 699_066
    assert type(program.network.module).__name__ == "PreActivationResNet18"
    assert program.network.buffer_layout.size == 0


def test_the_preset_records_at_the_published_steps_and_measures_both_units() -> None:
    spec = find("images").request({"data": "digits"}, "adversarial").spec
    assert len(spec.record_every.steps(spec.max_steps, 195)) == 48  # 47 of the source, and step 0
    assert (spec.seed, spec.batch_size, spec.warmup_steps, spec.beta2) == (42, 256, 0, 0.999)
    assert spec.epsilon == 10 / 255  # type: ignore[attr-defined]
    there = spec.options_of("robust_accuracy@compat")
    assert there["space"] == "normalized" and there["step_size"] == 4 / 255 and there["epsilon"] == [50 / 255]


def test_both_presets_measure_local_complexity_as_the_source_does() -> None:
    for preset, vertices, radii, logits in (
        ("adversarial", 40, [0.005], False),
        ("adversarial-mlp", 50, [0.05, 0.1, 0.5, 1.0, 5.0], True),
    ):
        spec = find("images").request({"data": "digits"}, preset).spec
        for split, label in (("train", ""), ("val", "@val"), ("random", "@random")):
            options: dict[str, Any] = spec.options_of(f"local_complexity{label}")
            assert (options.get("split", "train"), options["form"]) == (split, "published")
            assert options.get("vertices", 40) == vertices
            assert list(options.get("radius", [0.005])) == radii and options.get("logits", False) is logits


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_the_mlp_is_that_of_the_script(depth: int) -> None:
    experiment = find("images")
    request = experiment.request({"data": "digits", "depth": depth}, "adversarial-mlp")
    program = experiment.build(request.members)
    assert program.network.layout.size == 65 * 200 + (depth - 1) * 201 * 200 + 201 * 10
    assert program.dtype == torch.float64 and request.spec.objective == "mse"


def test_a_fraction_is_the_number_and_the_same_run() -> None:
    one, other = (find("images").request({"epsilon": text}) for text in ("4/255,8/255", [4 / 255, 8 / 255]))
    assert one.run_id == other.run_id and [m.epsilon for m in one.members] == [4 / 255, 8 / 255]  # type: ignore[attr-defined]


def test_a_run_says_what_it_subtracts_and_divides_by() -> None:
    raw, named = (find("images").request({"normalization": kind}) for kind in ("raw", "none"))
    assert raw.run_id == named.run_id, "none is what raw was called"
    assert raw.spec.channel_mean == (0.0,) and raw.spec.channel_std == (1.0,)  # type: ignore[attr-defined]
    standard: Any = find("images").request({}).spec
    assert standard.channel_mean[0] == pytest.approx(0.3053, abs=1e-3)
    assert standard.identity() == ImagesSpec(data_checksum=standard.data_checksum).identity()


@pytest.mark.parametrize(("given", "steps"), [(3, 10), (10, 10), (25, 25)])
def test_networks_are_attacked_as_they_were_trained_and_never_with_less_than_ten_steps(
    given: int, steps: int, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {
                "data": "digits", "width": 8, "attack_steps": given, "max_steps": 2, "n_train": 100,
                "probes": "robust_accuracy,robust_accuracy@own", "probe_options.robust_accuracy@own.steps": 4,
                "snapshot_every": 2, "threads": 1}  # fmt: skip
    request = find("images").request(settings)
    measured, own = (probe.options for probe, _ in find("images").build(request.members).probes)
    assert isinstance(measured, RobustOptions) and isinstance(own, RobustOptions)
    assert (measured.steps, own.steps) == (steps, 4)
    assert "robust_accuracy.steps" not in str(request.spec.identity())
    run = epochal.run("images", runs=tmp_path, **settings)
    for options, expected in (({}, steps), ({"steps": 7}, 7), ({"attack": "square"}, None)):
        taken = measurement(run, "robust_accuracy", options).probe.options
        assert isinstance(taken, RobustOptions) and taken.steps == expected


def test_compat_has_the_constants_of_colour_images_and_deviation_of_grey_ones() -> None:
    experiment = find("images")
    task = experiment.build(experiment.request({"data": "digits", "normalization": "compat"}).members).task
    inputs = task.batch(torch.arange(1797), {}, torch.tensor(0)).inputs
    assert abs(inputs.mean()) < 1e-5 and abs(inputs.std() - 1.25) < 1e-3
    few = Examples(np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 1]))
    colour = ImageSet(name="few", splits={"train": few}, class_names=("0", "1"))
    assert statistics(colour, "compat")[1] == (0.2023, 0.1994, 0.2010)
    mean, std = of_pixels(task.image_set)
    pixels = task.image_set.splits["train"].images / 255
    assert (mean[0], std[0]) == pytest.approx((pixels.mean(), pixels.std()), rel=1e-12)


def test_earlier_runs_called_adams_epsilon_epsilon() -> None:
    fields = find("images").request({}).fields()
    old = {n: v for n, v in fields.items() if n not in ("adam_epsilon", "training")} | {"epsilon": 1e-7}
    run: Any = SimpleNamespace(
        name="old", members=pl.DataFrame({"member": [0]}), paths=None,
        spec={"experiment": "images", "fields": old | {"normalization": "none"}, "varied": []},
    )  # fmt: skip
    spec: Any = member_spec(run, 0)
    assert (spec.adam_epsilon, spec.epsilon, spec.normalization) == (1e-7, 8 / 255, "raw")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"training": "pgd", "compile": True}, "training=pgd cannot be compiled"),
        ({"epsilon": "8/0"}, "epsilon=8/0 divides by 0; write a fraction such as 8/255"),
        ({"model": "resnet18", "preactivation": True, "stem": "large"}, "give stem=small"),
        ({"mixed_share": 2}, "mixed_share=2 is not allowed: mixed_share is a number"),
    ],
)
def test_what_cannot_be_is_one_line(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        find("images").request(settings)


def test_a_page_warns_of_masked_gradients(tmp_path: Any) -> None:
    rows = {
        "member": [0, 0, 1], "step": [0, 10, 10], "gradient_masking": [0.0, 1.0, 0.0],
        "search_excess": [0.0, 0.3, 0.0], "one_step_excess": [0.0, -0.1, 0.0],
    }  # fmt: skip
    run: Any = SimpleNamespace(metrics=pl.DataFrame(rows), path=tmp_path)
    [line] = masked_gradients(run)
    assert line.startswith("robust_accuracy is too high in 1 of 3 measurements (1 member, steps 10 to 10)")
    assert "random search breaks what gradients do not. Measure" in line
    run.metrics = pl.DataFrame(rows | {"gradient_masking": [0.0, 0.0, 0.0]})
    assert masked_gradients(run) == []
