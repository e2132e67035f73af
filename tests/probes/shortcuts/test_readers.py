"""What every probe of shortcuts must say of a network that reads only the cue, or only the core."""

from typing import Any

import numpy as np
import pytest

from tests.probes.shortcuts.readers import PATCH, SIDE, core_reader, patch_reader, task, value, view

CASES = [(2, 0.0), (2, 0.25), (4, 0.0), (4, 0.25)]


@pytest.mark.parametrize(("num_classes", "label_noise"), CASES)
def test_who_reads_only_the_patch(num_classes: int, label_noise: float) -> None:
    seen = view(task(num_classes), patch_reader(num_classes), label_noise=label_noise)
    assert value("cue_flip", seen) == {"flip_rate": 1.0, "follow_rate": 1.0}
    found = value("groups", seen)
    assert found["aligned_accuracy"] == 1 and found["conflicting_accuracy"] == 0
    assert found["worst_group_accuracy"] == 0
    assert found["group_accuracy"].tolist() == [0.0, 1.0] * num_classes
    factors = seen.data("val").factors
    agrees = (factors["code"] == factors["label"]).double().mean().item()
    assert found["core_accuracy"] == pytest.approx(agrees) and agrees < 0.9
    area = (PATCH / SIDE) ** 2
    assert value("saliency", seen) == {
        "saliency_in_patch": 1.0, "gradcam_in_patch": 1.0, "patch_area": area,
    }  # fmt: skip
    covered = value("occlusion", seen)
    assert covered["center_confidence"] == 0 and covered["border_confidence"] > 0.2
    assert covered["shortcut_ratio"] == 10
    decoded = value("decodability", seen)
    assert (decoded["cue_decodability"] == 1).all()
    # 96 examples: with two classes every cell is full, and chance is exact.
    tolerance = 1e-12 if num_classes == 2 else 0.1
    assert decoded["core_decodability"] == pytest.approx([1 / num_classes] * 2, abs=tolerance)
    assert value("last_layer_retraining", seen)["dfr_worst_group_accuracy"] < 0.5


@pytest.mark.parametrize(("num_classes", "label_noise"), CASES)
def test_who_reads_only_the_core(num_classes: int, label_noise: float) -> None:
    seen = view(task(num_classes), core_reader(num_classes), label_noise=label_noise)
    assert value("cue_flip", seen) == {"flip_rate": 0.0, "follow_rate": 0.0}
    found = value("groups", seen)
    assert found["core_accuracy"] == 1
    batch = seen.data("val")
    is_clean = (~batch.factors["is_noisy"]).double()
    is_aligned = batch.factors["is_aligned"]
    assert found["aligned_accuracy"] == pytest.approx(is_clean[is_aligned].mean().item())
    assert found["conflicting_accuracy"] == pytest.approx(is_clean[~is_aligned].mean().item())
    if not label_noise:
        assert found["worst_group_accuracy"] == found["balanced_accuracy"] == found["auc"] == 1
    assert value("saliency", seen) == {
        "saliency_in_patch": 0.0, "gradcam_in_patch": 0.0, "patch_area": (PATCH / SIDE) ** 2,
    }  # fmt: skip
    covered = value("occlusion", seen)
    assert covered["border_confidence"] == 0 == covered["shortcut_ratio"]
    assert covered["center_confidence"] > (0.1 if num_classes == 2 else 0.0)
    decoded = value("decodability", seen)
    assert decoded["core_decodability"][-1] == 1
    tolerance = 1e-12 if num_classes == 2 else 0.1
    assert decoded["cue_decodability"] == pytest.approx([1 / num_classes] * 2, abs=tolerance)
    retrained = value("last_layer_retraining", seen)
    if not label_noise:
        assert retrained == {"dfr_accuracy": 1.0, "dfr_worst_group_accuracy": 1.0}


def penalties(environment: Any, slope: Any, num: int) -> list[float]:
    return [slope[environment == e].mean().item() ** 2 for e in range(num)]


@pytest.mark.parametrize("kind", ["random", "rho", "patch_flip"])
def test_the_penalty_of_the_tasks_own_environments_follows_from_who_is_right(kind: str) -> None:
    """Logits of the patch reader are (1/2, -3/2) on one colour: a slope for right, another for wrong."""
    num = 2 if kind == "patch_flip" else 3
    seen = view(task(environments=kind, num=num), patch_reader())
    batch = seen.data("train")
    p = 1 / (1 + np.exp(-4.0))  # logits differ by 4: colours (1, -1, -1) and (-1, -1, 1)
    is_right = batch.factors["is_aligned"].numpy()
    slope = np.where(is_right, -4 * (1 - p), 4 * p)
    expected = penalties(batch.factors["environment"].numpy(), slope, num)
    found = value("irm", seen)
    assert found["irm_per_environment"] == pytest.approx(expected, rel=1e-12)
    assert found["irm_mean"] == pytest.approx(np.mean(expected))
    assert found["irm_variance"] == pytest.approx(np.var(expected))
    assert found["irm_saturated"] == 0
    if kind == "rho":  # the same network, on the same images: agreement 0, 1/2, 1 without a draw
        ends = [(4 * p) ** 2, (4 * p / 2 - 2 * (1 - p)) ** 2, (4 * (1 - p)) ** 2]
        measured = value("irm", seen, environments="rho", num_environments=3)
        assert measured["irm_per_environment"] == pytest.approx(ends, rel=1e-12)
    if kind == "patch_flip":
        both = [slope.mean() ** 2, np.where(is_right, 4 * p, -4 * (1 - p)).mean() ** 2]
        assert value("irm", seen, environments="patch_flip")["irm_per_environment"] == pytest.approx(both)


@pytest.mark.parametrize("kind", ["random", "patch_flip", "rho", "brightness"])
def test_who_reads_the_core_has_one_penalty_in_all_environments(kind: str) -> None:
    """Without label noise all slopes are equal, hence all environments, and the estimator is exact."""
    found = value("irm", view(task(), core_reader()), environments=kind, split="val")
    one = (2 / (1 + np.exp(2.0))) ** 2
    assert found["irm_per_environment"] == pytest.approx(one, rel=1e-12)
    assert found["irm_variance"] == pytest.approx(0, abs=1e-20)
    assert found["irm_unbiased"] == pytest.approx(one, rel=1e-12)
