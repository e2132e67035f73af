"""The closed form of the null's variance: against brute force, Monte Carlo and its limits."""

import math

import numpy as np
import pytest
from scipy.special import hyp2f1, poch

from epochal.analysis.nulls import credit_cosine, expected_cosine, leading_variance, null_variance
from epochal.analysis.nulls.directions import directions
from epochal.analysis.nulls.variance import variance_by_moments, variance_by_pairs
from epochal.core.values.errors import UserError
from tests.analysis.nulls.networks import generator, network


@pytest.mark.parametrize("d", [1, 2, 3, 4, 7, 13, 15, 16, 40, 100])
def test_expected_cosine_is_the_hypergeometric_function(d: int) -> None:
    rho = np.linspace(-1, 1, 501)
    known = 2 / d * poch(d / 2, 0.5) ** 2 * rho * hyp2f1(0.5, 0.5, d / 2 + 1, rho**2)
    assert np.abs(expected_cosine(rho, d) - known).max() < 4e-9
    assert expected_cosine([-1.0, 0.0, 1.0], d) == pytest.approx([-1, 0, 1], abs=4e-9)


def test_expected_cosine_with_one_feature_is_an_arcsine_and_with_many_the_cosine_itself() -> None:
    rho = np.linspace(-1, 1, 101)
    assert np.abs(expected_cosine(rho, 1) - 2 / math.pi * np.arcsin(rho)).max() < 1e-12
    assert np.abs(expected_cosine(rho, 100_000) - rho).max() < 1e-5
    with pytest.raises(UserError, match="at least 1"):
        expected_cosine(rho, 0)


@pytest.mark.parametrize(("d", "classes"), [(4, 3), (4, 10), (32, 10), (256, 10)])
def test_closed_form_is_what_20_000_draws_give(d: int, classes: int) -> None:
    """Their sd has an error of 1 / sqrt(2 * 20,000) = .5%, so that 2% are four of them."""
    known = network(generator(1, d), n=100, d=d, classes=classes)
    feedback = generator(2).normal(size=(d, classes))
    # Errors of a softmax sum to 0, and so forgive feedback whose columns have a common mean: others too.
    for errors, gradients in ((known.errors, known.gradients[0]), (known.errors + 0.1, known.gradients[-1])):
        found = credit_cosine(errors, gradients, feedback, draws=20_000, keep_draws=True)
        assert found.null_statistics is not None
        assert found.null_sd == pytest.approx(found.null_statistics.std(), rel=0.02)
        assert abs(found.null_statistics.mean()) < 4 * found.null_sd / math.sqrt(20_000)


def test_finite_d_matters_where_d_is_small() -> None:
    known = network(generator(3), d=4, classes=4)
    lead, exact = (f(known.errors, known.gradients[0]) for f in (leading_variance, null_variance))
    assert exact < 0.99 * lead
    known = network(generator(3), d=512, classes=4, n=50)
    lead, exact = (f(known.errors, known.gradients[0]) for f in (leading_variance, null_variance))
    assert exact == pytest.approx(lead, rel=0.005)


@pytest.mark.parametrize("n", [1, 255, 256, 257, 700, 2305])
def test_pairs_in_blocks_are_all_pairs(n: int) -> None:
    g = generator(4, n)
    known = directions(g.normal(size=(n, 5)), g.normal(size=(n, 6)))
    products = known.gradients @ known.gradients.T * expected_cosine(known.errors @ known.errors.T, 6)
    assert variance_by_pairs(known) == pytest.approx(products.sum() / (n * n * 6), rel=1e-10)


def test_moments_are_pairs_where_they_are_used() -> None:
    known = network(generator(5), n=1500, d=256, classes=4, depth=1)
    at = directions(known.errors, known.gradients[0])
    by_moments = variance_by_moments(at)
    assert by_moments == pytest.approx(variance_by_pairs(at), rel=1e-3)
    # More than the leading term: the second brings it within what is left of the series.
    assert by_moments == pytest.approx(variance_by_pairs(at), rel=5e-5)
    few = network(generator(5), n=1500, d=8, classes=4, depth=1)
    assert variance_by_moments(directions(few.errors, few.gradients[0])) is None


def test_isometric_images_of_isotropic_errors_are_worth_as_many_samples_as_classes_less_one() -> None:
    g = generator(6)
    d, classes = 64, 10
    errors = g.normal(size=(4000, classes))
    errors -= errors.mean(axis=1, keepdims=True)
    image = np.linalg.qr(g.normal(size=(d, classes)))[0]
    found = credit_cosine(errors, errors @ image.T, g.normal(size=(d, classes)))
    assert found.n_eff == pytest.approx(classes - 1, rel=0.02)
    assert found.null_sd == pytest.approx(1 / math.sqrt(d * (classes - 1)), rel=0.02)
    assert found.isometric_reference == pytest.approx(1, abs=0.01)
