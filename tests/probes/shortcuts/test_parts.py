"""What probes of shortcuts are made of: ranks, places, read-outs, areas, pieces; against brute force."""

import itertools

import numpy as np
import pytest
import torch

from epochal import GivenView
from epochal.core.tensors.tap import Tap
from epochal.probes.shortcuts.forward import features, logits_of, site_means, site_names
from epochal.probes.shortcuts.linear import equal_mass, logistic_scores, ridge_scores
from epochal.probes.shortcuts.places import places_within
from epochal.probes.shortcuts.roc import area
from epochal.probes.shortcuts.stamps import balanced_code, halves, other_code
from epochal.probes.sites import spectrum
from epochal.tasks.shortcuts.environments import equal_count_bins
from tests.probes.shortcuts.readers import core_reader, task, value, view


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(30, 7), (7, 30)])
def test_ranks_are_those_of_numpys_singular_values(shape: tuple[int, int]) -> None:
    matrix = 50 * normal(*shape)
    s = np.linalg.svd(matrix.numpy(), compute_uv=False)
    p, q = s / s.sum(), s / s.sum() + 1e-7
    singular = spectrum.singular_values(matrix)
    assert spectrum.effective_rank(singular).item() == pytest.approx(np.exp(-(p * np.log(p)).sum()))
    assert spectrum.rankme(singular).item() == pytest.approx(np.exp(-(q * np.log(q)).sum()), rel=1e-12)
    assert spectrum.rankme(singular).item() > spectrum.effective_rank(singular).item()
    assert spectrum.stable_rank(singular).item() == pytest.approx((s**2).sum() / s.max() ** 2)
    assert spectrum.participation_ratio(singular).item() == pytest.approx((s**2).sum() ** 2 / (s**4).sum())


def test_k_equal_directions_have_rank_k_by_every_name() -> None:
    frame = torch.linalg.qr(normal(40, 6)).Q * 1e-30
    singular = spectrum.singular_values(frame)
    for rank in (spectrum.effective_rank, spectrum.stable_rank, spectrum.participation_ratio):
        assert rank(singular).item() == pytest.approx(6, rel=1e-12)
    assert spectrum.rankme(singular).item() == pytest.approx(6, rel=1e-5)


def test_area_counts_pairs_and_half_of_ties() -> None:
    score, is_positive = (normal(60) * 3).round(), normal(60, seed=1) > 0.3
    pairs = itertools.product(score[is_positive].tolist(), score[~is_positive].tolist())
    wins = [0.5 if a == b else float(a > b) for a, b in pairs]
    assert area(score, is_positive).item() == pytest.approx(np.mean(wins), rel=1e-12)
    assert area(score, torch.ones_like(is_positive)).isnan()
    assert torch.vmap(area)(torch.stack([score, -score]), torch.stack([is_positive] * 2)).sum().item() == 1.0


def test_several_classes_are_told_apart_one_against_the_rest() -> None:
    made = task(num_classes=4)
    logits = normal(96, 4)
    seen = view(made, lambda inputs, tap: logits)
    chances, targets = torch.softmax(logits, -1), seen.targets("val")
    areas = []
    for c in range(4):
        one, rest = chances[targets == c, c], chances[targets != c, c]
        areas.append((one[:, None] > rest).double().mean().item())
    assert value("groups", seen)["auc"] == pytest.approx(np.mean(areas), rel=1e-12)
    is_right = logits.argmax(-1) == targets
    recalls = [is_right[targets == c].double().mean().item() for c in range(4)]
    assert value("groups", seen)["balanced_accuracy"] == pytest.approx(np.mean(recalls), rel=1e-12)


def test_places_within_a_group_are_counted_in_the_given_order() -> None:
    group = torch.tensor([1, 0, 1, 1, 0, 2])
    order = torch.tensor([5.0, 2.0, 3.0, 9.0, 1.0, 0.0])
    assert places_within(group, 3, order).tolist() == [1, 1, 0, 2, 0, 0]
    assert equal_count_bins(order, 4).tolist() == [2, 1, 2, 3, 0, 0]
    sizes = torch.bincount(equal_count_bins(normal(100), 7))
    assert sizes.min() == 14 and sizes.max() == 15


def test_balanced_codes_meet_every_label_equally_often_in_both_halves() -> None:
    made = task(num_classes=4)
    seen = view(made, core_reader(4), rho=1.0)
    code, half = balanced_code(seen, seen.sample())
    label = seen.sample().factors["label"]
    cells = torch.bincount(half * 16 + label * 4 + code, minlength=32)  # 96 examples in 32 cells
    assert cells.tolist() == [3] * 32


def test_another_code_is_any_other_and_halves_cut_every_group() -> None:
    made = task(num_classes=4, count=400)
    seen = view(made, core_reader(4))
    batch = seen.sample()
    code, group = batch.factors["code"], batch.factors["group"]
    shift = (other_code(seen, batch, code) - code) % 4
    counts = torch.bincount(shift, minlength=4)
    assert counts[0] == 0 and (counts[1:] > 100).all()
    half = halves(seen, batch, group, 8)
    for number in range(8):
        parts = torch.bincount(half[group == number], minlength=2)
        assert (parts[0] - parts[1]).abs() <= 1


def test_equal_mass_gives_every_group_that_occurs_the_same() -> None:
    group = torch.tensor([0, 0, 0, 2, 2, 3])
    is_fitted = torch.tensor([True, True, False, True, True, False])
    assert equal_mass(group, 4, is_fitted).tolist() == [0.25, 0.25, 0.0, 0.25, 0.25, 0.0]


@pytest.mark.parametrize("dimensions", [5, 60])
def test_ridge_is_the_weighted_least_squares_of_numpy(dimensions: int) -> None:
    """Also with more features than examples, where another space is solved in."""
    x, classes = 3 * normal(40, dimensions) + 1, torch.arange(40) % 3
    weight = equal_mass(classes, 3, torch.arange(40) < 25)
    w = weight.numpy()
    mean = w @ x.numpy()
    z = (x.numpy() - mean) / np.sqrt(w @ (x.numpy() - mean) ** 2)
    # Rows of the ridge under the examples; the offset has none.
    rows = np.vstack([np.sqrt(w)[:, None] * np.c_[z, np.ones(40)], 0.1 * np.eye(dimensions + 1)[:-1]])
    right = np.vstack([np.sqrt(w)[:, None] * np.eye(3)[classes.numpy()], np.zeros((dimensions, 3))])
    wanted = np.c_[z, np.ones(40)] @ np.linalg.lstsq(rows, right, rcond=None)[0]
    found = ridge_scores(x, classes, 3, weight, 0.01).numpy()
    assert found == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("dimensions", [4, 50])
def test_newton_ends_where_the_slope_is_zero(dimensions: int) -> None:
    x, classes = normal(40, dimensions), (normal(40, seed=2) > 0).long()
    weight = equal_mass(classes, 2, torch.arange(40) < 30)
    mean = weight @ x
    z = (x - mean) / (weight @ (x - mean).square()).sqrt()
    w = weight.numpy()
    score = logistic_scores(x, classes, 2, weight, 0.01)[:, 1]
    sign = 2.0 * classes - 1
    # b = sum_i w_i sign_i sigma(-sign_i f_i) z_i / ridge at the minimum, and the offset's slope vanishes.
    pull = weight * sign * torch.sigmoid(-sign * score)
    b = pull @ z / 0.01
    offset = (score - z @ b).numpy()
    assert np.ptp(offset) == pytest.approx(0, abs=1e-6)
    assert pull.sum().item() == pytest.approx(0, abs=1e-6) and w[30:].sum() == 0


def test_newton_stays_finite_where_classes_are_apart_and_where_nothing_varies() -> None:
    classes = torch.arange(20) % 2
    weight = equal_mass(classes, 2, torch.arange(20) < 10)
    apart = logistic_scores(1e6 * classes[:, None].double(), classes, 2, weight, 1e-6)
    assert (apart.argmax(-1) == classes).all() and apart.isfinite().all()
    assert (logistic_scores(torch.full((20, 3), 0.1).double(), classes, 2, weight, 1e-2) == 0).all()


def test_pieces_do_not_show() -> None:
    """300 examples are more than a pass takes."""
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(4, 3, 3, 3, generator=generator, dtype=torch.float64)

    def network(inputs: torch.Tensor, tap: Tap) -> torch.Tensor:
        maps = tap("maps", torch.nn.functional.conv2d(inputs, kernel).relu())
        return tap("logits", tap("last", maps.amax((-2, -1)))[:, :2] * 3)

    inputs = normal(300, 3, 6, 6)
    seen = GivenView(given_network=network)
    maps = torch.nn.functional.conv2d(inputs, kernel).relu()
    assert torch.equal(logits_of(seen, inputs), network(inputs, Tap()))
    assert site_names(seen, inputs) == ["maps", "last"]  # what gives the logits is no site before them
    assert torch.equal(features(seen, inputs), maps.amax((-2, -1)))
    assert torch.allclose(site_means(seen, inputs)["maps"], maps.mean((-2, -1)))
