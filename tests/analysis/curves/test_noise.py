"""The noise model against dense linear algebra and known parameters."""

import numpy as np
import pytest
from scipy.linalg import cholesky, solve_triangular

from epochal.analysis.curves.noise import Models, Whitener, candidates, draw, fit
from tests.analysis.curves.known import Array, generator, wander


def covariance(models: Models, k: int) -> Array:
    T = models.slow.shape[1]
    lag = np.abs(np.subtract.outer(np.arange(T), np.arange(T)))
    slow = np.outer(models.slow[k], models.slow[k]) * models.autocorrelation[k] ** lag
    return np.asarray(slow + np.diag(models.fast[k] ** 2))


def test_whitening_is_the_inverse_cholesky_factor() -> None:
    rng = generator(1)
    models = Models(
        autocorrelation=np.array([0.0, 0.6, 0.99]),
        slow=rng.uniform(0.5, 2, (3, 12)),
        fast=rng.uniform(0.1, 1, (3, 12)),
    )
    whitener = Whitener(models)
    columns = rng.standard_normal((12, 4))
    white = whitener(columns)
    for k in range(3):
        lower = cholesky(covariance(models, k), lower=True)
        assert white[k] == pytest.approx(solve_triangular(lower, columns, lower=True), abs=1e-10)
        assert whitener.matrix(k) @ lower == pytest.approx(np.eye(12), abs=1e-10)
        assert whitener.log_det[k] == pytest.approx(2 * np.log(np.diag(lower)).sum(), abs=1e-10)


def test_weights_are_those_of_the_restricted_likelihood() -> None:
    """Dense algebra in double precision, on a curve whose noise is 1e-8 of its level and of its drift."""
    T = 40
    line = np.linspace(0, 1, T)
    models = candidates([(np.ones(T), 1 + line)])
    level = 1e6 * np.column_stack([np.ones(T), line])
    noise = 0.01 * wander(T, 0.7, generator(4))
    fitted = fit(models, level, level @ [1.0, 3.0] + noise, 0.0)
    log_likelihood, variance = [], []
    for k in range(len(models)):
        inverse = np.linalg.inv(covariance(models, k))
        information = level.T @ inverse @ level
        rest = noise - level @ np.linalg.solve(information, level.T @ inverse @ noise)
        variance.append(float(rest @ inverse @ rest) / (T - 2))
        logs = np.linalg.slogdet(information)[1] - np.linalg.slogdet(inverse)[1]
        log_likelihood.append(-0.5 * ((T - 2) * np.log(variance[-1]) + logs))
    weight = np.exp(np.array(log_likelihood) - max(log_likelihood))
    # Rounding: the values are known to 4e6 * 1e-16, so to 1e-7 of the noise; sums in single precision.
    assert fitted.variance == pytest.approx(np.array(variance), rel=1e-4)
    assert fitted.weight == pytest.approx(weight / weight.sum(), rel=2e-3, abs=1e-9)
    odds = np.linspace(1, 7, len(models))
    again = fit(models, level, level @ [1.0, 3.0] + noise, 0.0, log_odds=np.log(odds))
    assert again.weight == pytest.approx(odds * fitted.weight / (odds @ fitted.weight), rel=1e-6)


def test_equal_columns_count_once() -> None:
    rng = generator(5)
    x, y = rng.standard_normal((2, 30))
    models = candidates([(np.ones(30), np.ones(30))])
    one, two = (fit(models, columns, y, 0.0) for columns in (x[:, None], np.column_stack([x, 2 * x])))
    assert two.variance == pytest.approx(one.variance, rel=1e-5)


def test_draws_have_the_covariance_of_their_model() -> None:
    one = np.linspace(1.0, 2.0, 6)
    models = Models(autocorrelation=np.array([0.8]), slow=one[None], fast=0.5 * one[None])
    fitted = fit(models, np.ones((6, 1)), np.arange(6.0), 0.0)
    n = 20_000
    noise = draw(models, fitted, n, generator(2))
    true = fitted.variance[0] * covariance(models, 0)
    # A covariance of n normal draws has sd sqrt((c_ii c_jj + c_ij^2) / n); five of them.
    sd = np.sqrt((np.outer(np.diag(true), np.diag(true)) + true**2) / n)
    assert (np.abs(noise @ noise.T / n - true) < 5 * sd).all()


@pytest.mark.parametrize("phi", [0.0, 0.7, 0.95])
def test_the_fit_knows_slow_noise_from_fast(phi: float) -> None:
    """The long-run variance, under a prior flat in phi, is right within a factor 2 over 20 curves."""
    T = 300
    one = np.ones(T)
    models = candidates([(one, one)])
    x = np.column_stack([one, np.linspace(0, 1, T)])
    ratios = []
    for i in range(20):
        fitted = fit(models, x, 3 * wander(T, phi, generator(3, i)), 1e-12, prior_power=1.0)
        slow = models.slow[:, 0] ** 2 * (1 + models.autocorrelation) / (1 - models.autocorrelation)
        long_run = fitted.variance * (slow + models.fast[:, 0] ** 2)
        ratios.append(float(fitted.weight @ np.log(long_run)) - np.log(9 * (1 + phi) / (1 - phi)))
    # With T (1 - phi) / 2 = 7.5 independent stretches at worst a log variance has sd sqrt(2 / 7.5) = .5.
    assert abs(np.mean(ratios)) < np.log(2)


def test_weights_are_a_distribution_even_without_noise() -> None:
    one = np.ones(10)
    fitted = fit(candidates([(one, one)]), one[:, None], one, 1e-12)
    assert fitted.weight.sum() == pytest.approx(1)
    assert (fitted.variance >= 1e-12).all()
