"""The penalty against autograd and brute force; environments against their definition."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from epochal import GivenView
from epochal.core.values.errors import UserError
from epochal.probes.shortcuts.penalty import penalties, slopes, unbiased_penalties
from tests.probes.shortcuts.readers import core_reader, patch_reader, task, value, view


def drawn(count: int, num_classes: int, size: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    logits = size * torch.randn(count, num_classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(num_classes, (count,), generator=generator)


@pytest.mark.parametrize("num_classes", [2, 7])
@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
def test_slopes_are_what_autograd_says(num_classes: int, size: float) -> None:
    logits, targets = drawn(40, num_classes, size)
    for number in range(40):
        scale = torch.ones((), dtype=torch.float64, requires_grad=True)
        one = slice(number, number + 1)
        loss = torch.nn.functional.cross_entropy(scale * logits[one], targets[one])
        (wanted,) = torch.autograd.grad(loss, scale)
        assert slopes(logits, targets)[number].item() == pytest.approx(wanted.item(), rel=1e-9, abs=1e-12)


def test_the_penalty_is_autograds_squared_gradient_per_environment() -> None:
    """Of float32 logits, computed in float64; the environments are the task's."""
    made = task(num_classes=4)
    logits, _ = drawn(96, 4)
    seen = view(made, lambda inputs, tap: logits.float())
    batch, wanted = seen.data("val"), []
    for number in range(3):
        chosen = batch.factors["environment"] == number
        scale = torch.ones((), dtype=torch.float64, requires_grad=True)
        loss = torch.nn.functional.cross_entropy(
            scale * logits.float().double()[chosen], batch.targets[chosen]
        )
        (gradient,) = torch.autograd.grad(loss, scale)
        wanted.append(gradient.item() ** 2)
    found = value("irm", seen, split="val")
    assert found["irm_per_environment"] == pytest.approx(wanted, rel=1e-9)
    assert found["irm_mean"] == pytest.approx(np.mean(wanted), rel=1e-9)
    assert found["irm_variance"] == pytest.approx(np.var(wanted), rel=1e-9)


def test_unbiased_is_the_mean_product_over_all_ways_to_halve() -> None:
    slope = torch.tensor([[0.3, -1.2, 2.0, 0.1, -0.4, 0.9, 5.0]], dtype=torch.float64)
    weight = torch.tensor([[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]], dtype=torch.float64)
    six = slope[0, :6].numpy()
    halves = [list(chosen) for chosen in combinations(range(6), 3)]
    products = [six[chosen].mean() * np.delete(six, chosen).mean() for chosen in halves]
    assert unbiased_penalties(slope, weight).item() == pytest.approx(np.mean(products), rel=1e-12)


def test_unbiased_has_no_bias_where_the_plain_one_has() -> None:
    """Exactly: over all samples of four from a population of slopes with mean 0."""
    population = torch.tensor([-3.0, -1.0, 0.0, 4.0], dtype=torch.float64)
    samples = torch.cartesian_prod(*[population] * 4)
    ones = torch.ones_like(samples)
    assert unbiased_penalties(samples, ones).mean().item() == pytest.approx(0, abs=1e-12)
    assert unbiased_penalties(samples, ones).min() < 0
    # The plain one's mean is variance / n.
    assert penalties(samples, ones).mean().item() == pytest.approx(26 / 4 / 4)


def test_an_environment_without_examples_is_nan_and_counts_for_nothing() -> None:
    made = task(num=3)
    seen = view(made, core_reader())
    environment = seen.given_factors["train"]["environment"]
    seen.given_factors["train"]["environment"] = torch.where(environment == 1, 0, environment)
    found = value("irm", seen)
    assert np.isnan(found["irm_per_environment"]).tolist() == [False, True, False]
    assert np.isfinite(found["irm_mean"]) and found["irm_variance"] == pytest.approx(0, abs=1e-20)


def test_bins_of_brightness_are_those_of_the_data_at_hand_and_equal() -> None:
    """Slopes that tell the example: the penalty of each bin is that of its own images."""
    made = task(count=95)
    logits, _ = drawn(95, 2)
    seen = view(made, lambda inputs, tap: logits)
    batch = seen.data("val")
    order = np.argsort(batch.inputs.mean((1, 2, 3)).numpy(), kind="stable")
    sizes = [19] * 5
    slope = slopes(logits, batch.targets).numpy()
    wanted = [slope[part].mean() ** 2 for part in np.split(order, np.cumsum(sizes)[:-1])]
    found = value("irm", seen, environments="brightness", num_environments=5, split="val")
    assert found["irm_per_environment"] == pytest.approx(wanted, rel=1e-12)


def test_random_environments_do_not_depend_on_the_images_order_and_differ_by_seed() -> None:
    made = task()
    seen = view(made, patch_reader(), rho=0.5)
    found = value("irm", seen, environments="random", split="val")["irm_per_environment"]
    shuffled = view(made, patch_reader(), rho=0.5)
    order = torch.randperm(96, generator=torch.Generator().manual_seed(0))
    for given in (shuffled.given_inputs, shuffled.given_targets, shuffled.given_logits):
        given["val"] = given["val"][order]
    factors = shuffled.given_factors["val"]
    shuffled.given_factors["val"] = {name: each[order] for name, each in factors.items()}
    again = value("irm", shuffled, environments="random", split="val")["irm_per_environment"]
    assert again == pytest.approx(found, rel=1e-12)
    shuffled.fields = {**shuffled.fields, "seed": torch.tensor(4)}
    other = value("irm", shuffled, environments="random", split="val")["irm_per_environment"]
    assert other != pytest.approx(found, rel=1e-3)


def saturation(logits: torch.Tensor, targets: torch.Tensor, **options: Any) -> float:
    label = torch.zeros(len(targets), dtype=torch.int64)
    seen = GivenView(
        given_task=task(num=2),
        given_logits={"train": logits},
        given_targets={"train": targets},
        given_factors={"train": {"environment": label, "index": torch.arange(len(targets))}},
    )
    return float(value("irm", seen, **options)["irm_saturated"])


def test_a_fit_is_saturated_where_all_are_right_and_the_loss_is_small() -> None:
    targets = torch.tensor([0, 1, 1])
    right = torch.eye(2, dtype=torch.float64)[targets]
    assert saturation(10 * right, targets) == 1
    assert saturation(2 * right, targets) == 0  # loss 0.127
    assert saturation(2 * right, targets, saturated_loss=0.2) == 1
    many = torch.zeros(2000, dtype=torch.int64)
    rows = torch.tensor([[20.0, 0.0]], dtype=torch.float64).repeat(2000, 1)
    rows[0] = torch.tensor([0.0, 0.1])  # one error, and the loss is below the bound
    assert saturation(rows, many) == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"environments": "patch_flip", "num_environments": 3}, "patch_flip has 2"),
        ({"num_environments": 5}, "num_environments=5, and the task's own are 3: leave it out"),
    ],
)
def test_numbers_of_environments_that_do_not_fit_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        value("irm", view(task(), core_reader()), **options)
