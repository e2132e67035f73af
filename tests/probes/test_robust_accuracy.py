"""Robust accuracy: units of pixels under any normalisation, curves that fall, masking that is noticed."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from epochal import GivenView
from epochal.core.tensors import random
from epochal.core.values.errors import UserError
from epochal.core.values.options import parse_options
from epochal.engine.observe import measure
from epochal.engine.population import initial_population
from epochal.probes.robust_accuracy import RobustOptions, robust_accuracy
from tests.engine.programs import images

WEIGHT = random.normal(random.key(1, "weight"), (3, 4, 4, 5), torch.float64).flatten(0, 2)
PIXELS = random.uniform(random.key(1, "pixels"), (120, 3, 4, 4), torch.float64)


def network(pixels: Tensor) -> Tensor:
    return torch.tanh(pixels.flatten(1) - 0.5) @ WEIGHT


def view(mean: tuple[float, ...], std: tuple[float, ...], net: Any = network) -> GivenView:
    """The same network of the same pixels, told in other units."""
    m, s = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (mean, std))
    return GivenView(
        given_targets={"val": net(PIXELS).argmax(-1)},
        given_inputs={"val": (PIXELS - m) / s},
        given_network=lambda x, tap: net(x * s + m),
        given_task=SimpleNamespace(statistics=(mean, std), num_classes=5),
    )


def measured(seen: GivenView, **options: Any) -> dict[str, Any]:
    found = robust_accuracy.measure(RobustOptions(**{"check_samples": 0, **options}), seen)
    return {name: np.asarray(value) for name, value in found.items()}


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("attack", ["pgd", "apgd-dlr"])
def test_a_radius_is_in_pixels_whatever_the_normalisation(norm: str, attack: str) -> None:
    options = {"epsilon": (0.02, 0.05) if norm == "linf" else (0.1, 0.3), "norm": norm, "attack": attack}
    raw = measured(view((0, 0, 0), (1, 1, 1)), **options)
    other = measured(view((0.4914, 0.2, 0.4465), (0.2, 0.1994, 0.5)), **options)
    assert 0.05 < raw["robust_accuracy"] < raw["robust_accuracy_curve"][0] < 0.95
    assert all(np.allclose(raw[name], other[name], atol=1 / 120 + 1e-9) for name in raw)


def test_the_normalised_space_is_another_radius() -> None:
    seen = view((0.4, 0.4, 0.4), (0.2, 0.2, 0.2))
    there = measured(seen, epsilon=(0.2,), space="normalized")
    here = measured(seen, epsilon=(0.2 * 0.2,))
    assert there["robust_accuracy"] == pytest.approx(here["robust_accuracy"], abs=0.02)


def test_a_curve_falls_and_its_area_is_that_under_it() -> None:
    radii = (0.0, 0.01, 0.03, 0.1)
    found = measured(view((0, 0, 0), (1, 1, 1)), epsilon=radii)
    curve = found["robust_accuracy_curve"]
    assert curve[0] == 1.0 and (np.diff(curve) <= 0).all() and curve[-1] == found["robust_accuracy"]
    assert found["robust_area"] == pytest.approx(np.trapezoid(curve, radii) / 0.1)
    assert measured(view((0, 0, 0), (1, 1, 1)), epsilon=(0.0,))["robust_area"] == 1.0


def test_classes_average_to_the_whole() -> None:
    seen = view((0, 0, 0), (1, 1, 1))
    found = measured(seen, epsilon=(0.03,))
    share = np.bincount(np.asarray(seen.targets("val")), minlength=5) / 120
    assert np.nansum(found["robust_accuracy_per_class"] * share) == pytest.approx(found["robust_accuracy"])


def test_the_worst_case_is_at_most_any_attack() -> None:
    seen = view((0, 0, 0), (1, 1, 1))
    worst = measured(seen, epsilon=(0.03,), attack="worst_case")["robust_accuracy"]
    for attack in ("pgd", "apgd-ce", "apgd-dlr", "square"):
        assert worst <= measured(seen, epsilon=(0.03,), attack=attack)["robust_accuracy"] + 0.01


def stepped(pixels: Tensor) -> Tensor:
    """Hides its slopes: no gradient anywhere, and as fragile as before."""
    return network((pixels * 64).round() / 64)


def test_masked_gradients_are_noticed_and_honest_ones_are_not() -> None:
    checked = {"epsilon": (0.06,), "check_samples": 120}
    honest = measured(view((0, 0, 0), (1, 1, 1)), **checked)
    masked = measured(view((0, 0, 0), (1, 1, 1), stepped), **checked)
    assert honest["gradient_masking"] == 0 and honest["search_excess"] <= 0.02
    assert masked["gradient_masking"] == 1 and masked["search_excess"] > 0.1
    assert masked["robust_accuracy"] > honest["robust_accuracy"] + 0.2, "what the warning is about"


def test_without_its_own_radius_it_takes_that_of_the_run() -> None:
    made = images(n_train=40, epsilon="0,0.02,0.3", probes="robust_accuracy", precision="float64")
    probe = robust_accuracy.configured(RobustOptions(check_samples=0, samples=50))
    found = measure(made, initial_population(made), [probe])["robust_accuracy"]
    own = [
        measure(
            made,
            initial_population(made),
            [robust_accuracy.configured(RobustOptions(check_samples=0, samples=50, epsilon=(radius,)))],
        )["robust_accuracy"][member]
        for member, radius in enumerate((0.0, 0.02, 0.3))
    ]
    assert found.tolist() == own


def test_options_take_fractions_and_tell_what_is_wrong() -> None:
    options = parse_options(RobustOptions, {"epsilon": "8/255,2/255,8/255"}, "robust_accuracy")
    assert options == RobustOptions(epsilon=(2 / 255, 8 / 255))
    with pytest.raises(UserError, match="epsilon=8/0 divides by 0; write a fraction such as 8/255"):
        parse_options(RobustOptions, {"epsilon": "8/0"}, "robust_accuracy")
    with pytest.raises(UserError, match="has a negative radius"):
        parse_options(RobustOptions, {"epsilon": "-0.1"}, "robust_accuracy")
    with pytest.raises(UserError, match="square is of norm=linf, not l2"):
        measured(view((0, 0, 0), (1, 1, 1)), attack="square", norm="l2")
    tokens = GivenView(given_targets={"val": [1, 2]}, given_inputs={"val": torch.tensor([[1, 2], [3, 4]])})
    with pytest.raises(UserError, match="needs images with a label each"):
        measured(tokens)
