"""Probes of shortcuts in networks that train: against autograd, after planted learning, and in a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import epochal
from epochal.core.tensors.tap import Tap
from epochal.core.values.errors import UserError
from epochal.engine.observe import measure
from epochal.engine.population import initial_population
from epochal.engine.view import LiveView
from epochal.probes import find
from epochal.store.documents import read_json
from tests.engine.programs import built
from tests.probes.shortcuts.readers import task, value, view

CUED: dict[str, Any] = {
    "data": "digits", "n_train": 80, "channels": "rgb", "cue": "patch", "patch_size": 2, "batch_size": 16,
    "model": "convnet", "width": 4, "depth": 2, "threads": 1, "max_steps": 4, "precision": "float64",
}  # fmt: skip
ALL = "irm,feature_rank,occlusion,cue_flip,groups,saliency,decodability,last_layer_retraining"


def live(made: Any, member: int = 0) -> LiveView:
    population = initial_population(made)
    fields = {name: values[member] for name, values in made.fields.items()}
    flat, buffers = population.flat[member], population.buffers[member]
    return LiveView(made, step=0, flat=flat, buffers=buffers, initial=flat, fields=fields)


def test_saliency_is_autograds_gradient_of_the_predicted_logit() -> None:
    made = built("images", CUED | {"seed": "0:2"})
    probe = find("saliency").configured()
    found = measure(made, initial_population(made), [probe])
    for member in range(2):
        seen = live(made, member)
        inputs = seen.sample().inputs.clone().requires_grad_()
        held: dict[str, torch.Tensor] = {}

        def look(site: str, h: torch.Tensor, held: dict[str, torch.Tensor] = held) -> torch.Tensor:
            held[site] = h
            return h

        logits = seen.predict(inputs, Tap(edit=look))
        top = logits.max(-1).values.sum()
        slope, at_maps = torch.autograd.grad(top, [inputs, held["stage.1"]])
        mass = slope.abs().sum(1)
        share = mass[:, :2, :2].sum((-2, -1)) / mass.sum((-2, -1))
        assert found["saliency_in_patch"][member] == pytest.approx(share.mean().item(), rel=1e-9)
        cam = (at_maps.mean((-2, -1), keepdim=True) * held["stage.1"]).sum(1, keepdim=True).relu()
        full = torch.nn.functional.interpolate(cam.detach(), (8, 8), mode="bilinear")[:, 0]
        in_patch = full[:, :2, :2].sum((-2, -1)) / full.sum((-2, -1))
        assert found["gradcam_in_patch"][member] == pytest.approx(in_patch.nanmean().item(), rel=1e-9)
        assert found["patch_area"][member] == 4 / 64


def test_grad_cam_looks_at_the_last_maps_of_several_places_or_at_a_site_by_name() -> None:
    """Of an 8 x 8 image three stages leave 1 x 1, which looks nowhere."""
    seen = live(built("images", CUED | {"depth": 3}))
    found = {
        site: value("saliency", seen, site=site)["gradcam_in_patch"] for site in ("", "stage.0", "stage.1")
    }
    assert found[""] == found["stage.1"] != found["stage.0"] and found[""] != pytest.approx(4 / 64)
    with pytest.raises(UserError, match=r"site stage\.2 holds no maps"):
        value("saliency", seen, site="stage.2")


def test_without_maps_there_is_no_grad_cam() -> None:
    seen = live(built("images", CUED | {"model": "mlp", "depth": 1, "width": 8}))
    found = value("saliency", seen)
    assert np.isnan(found["gradcam_in_patch"]) and 0 < found["saliency_in_patch"] < 1
    assert value("decodability", seen)["cue_decodability"].shape == (1,)


def test_a_new_readout_finds_the_core_that_the_old_one_left_for_the_cue() -> None:
    """Features hold a strong cue and a weak core; the logits read the cue alone."""

    def network(inputs: torch.Tensor, tap: Tap) -> torch.Tensor:
        cue = (inputs[:, 2, :2, :2] - inputs[:, 0, :2, :2]).mean((-2, -1))
        core = inputs[:, :, 3:5, 3:5].mean((-3, -2, -1))
        tap("features", torch.stack([10 * cue, 0.01 * core], dim=-1))
        return torch.stack([-cue, cue], dim=-1)

    seen = view(task(), network, rho=0.9)
    assert value("groups", seen)["worst_group_accuracy"] == 0
    found = value("last_layer_retraining", seen)
    assert found == {"dfr_accuracy": 1.0, "dfr_worst_group_accuracy": 1.0}
    assert value("decodability", seen) == {"core_decodability": [1.0], "cue_decodability": [1.0]}


def test_a_run_records_all_of_them_under_labels_of_their_own(tmp_path: Path) -> None:
    settings = CUED | {"seed": [0, 1], "record_every": "2", "snapshot_every": "4"}
    options: dict[str, Any] = {
        "probe_options.irm@held_out.split": "val",
        "probe_options.irm@flip.environments": "patch_flip",
        "probe_options.feature_rank.ranks": "feature_rank,rankme",
    }
    probes = f"{ALL},irm@held_out,irm@flip"
    run = epochal.run(
        "images", runs=tmp_path, device="cpu", progress=False, probes=probes, **settings, **options
    )
    rows = run.metrics
    for column in (
        "irm_mean", "irm_mean@held_out", "irm_mean@flip", "rankme", "shortcut_ratio", "flip_rate",
        "worst_group_accuracy", "saliency_in_patch", "gradcam_in_patch", "dfr_accuracy",
    ):  # fmt: skip
        assert rows[column].is_not_null().all() and rows.height == 6
    assert len(rows["group_accuracy"][0]) == 20 and len(rows["cue_decodability"][0]) == 2
    assert len(rows["irm_per_environment@flip"][0]) == 2
    again = epochal.load(run.path).probe("groups", progress=False)
    assert again["group_accuracy"].to_list()[-1] == rows["group_accuracy"].to_list()[-1]
    (file,) = run.paths.probes.glob("groups-*.json")
    names = read_json(file)["labels"]["group_accuracy"]
    assert names[:3] == ["target 0 conflicting", "target 0 aligned", "target 1 conflicting"]


@pytest.mark.parametrize("name", ["cue_flip", "saliency", "decodability", "last_layer_retraining"])
def test_without_a_cue_one_line_says_so_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    plain: dict[str, Any] = {
        "data": "digits", "n_train": 80, "width": 8, "max_steps": 2, "threads": 1,
    }  # fmt: skip
    with pytest.raises(UserError, match=f"probe {name} needs images with a cue") as caught:
        epochal.run("images", runs=tmp_path, device="cpu", progress=False, probes=name, **plain)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["irm", "occlusion"])
def test_without_images_one_line_says_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"probe {name} looks at images"):
        epochal.run(
            "algorithmic", runs=tmp_path, device="cpu", progress=False, probes=name, modulus=7, max_steps=2
        )
    assert list(tmp_path.iterdir()) == []


def test_brightness_needs_no_cue_and_a_changed_cue_does() -> None:
    plain = live(built("images", {"data": "digits", "n_train": 80, "width": 8, "max_steps": 2, "threads": 1}))
    found = value("irm", plain, environments="brightness", num_environments=4)
    assert found["irm_per_environment"].shape == (4,) and np.isfinite(found["irm_mean"])
    wrong = {"data": "digits", "probes": "feature_rank", "probe_options.feature_rank.ranks": "rank"}
    with pytest.raises(UserError, match="ranks is names as a,b,c, each feature_rank or stable_rank or"):
        built("images", wrong)
    with pytest.raises(UserError, match="environments=rho changes the cue, and this task has none"):
        value("irm", plain, environments="rho")
    with pytest.raises(UserError, match=r"probe_options\.irm\.environments=brightness"):
        value("irm", plain)


def test_the_sample_is_the_first_validation_examples_and_bounds_what_is_measured() -> None:
    made = built("images", CUED | {"probe_samples": 50})
    seen = live(made)
    few, whole = seen.sample(), seen.data("val")
    assert len(few.targets) == 50 < len(whole.targets)
    assert torch.equal(few.inputs, whole.inputs[:50]) and torch.equal(few.inputs, seen.passage().batch.inputs)
    middle = torch.zeros(8, 8, dtype=torch.bool)
    middle[2:6, 2:6] = True
    before = torch.softmax(seen.logits("val")[:50], -1)
    after = torch.softmax(seen.predict(torch.where(middle, 0.0, whole.inputs[:50])), -1)
    best = before.argmax(-1, keepdim=True)
    drop = (before.gather(-1, best) - after.gather(-1, best)).mean().item()
    assert value("occlusion", seen)["center_confidence"] == pytest.approx(drop, rel=1e-9)
