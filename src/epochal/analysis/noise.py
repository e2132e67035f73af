"""The working noise model: a slow part that records share, a fast part, and scales of both."""

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.float64]

AUTOCORRELATIONS = (0.4, 0.7, 0.85, 0.92, 0.95, 0.97, 0.985, 0.995)
WHITE_FRACTIONS = (0.0, 0.05, 0.2, 0.5, 0.8)


@dataclass(frozen=True, kw_only=True, eq=False)
class Models:
    """K candidate noise models of one curve of T records, up to a common variance sigma^2.

    noise_t = sigma (slow_t u_t + fast_t e_t),   u_t = phi u_(t-1) + sqrt(1 - phi^2) e'_t

    with e, e' standard normal and u stationary of variance 1. ``t`` counts records, not steps.
    """

    autocorrelation: Float[Array, " K"]
    slow: Float[Array, "K T"]
    fast: Float[Array, "K T"]

    def __len__(self) -> int:
        return len(self.autocorrelation)

    def pick(self, which: Int[NDArray[np.int64], " k"]) -> "Models":
        return Models(
            autocorrelation=self.autocorrelation[which], slow=self.slow[which], fast=self.fast[which]
        )


def candidates(scales: list[tuple[Float[Array, " T"], Float[Array, " T"]]]) -> Models:
    """Every autocorrelation with every share of white noise, for each pair of scales (slow, fast).

    A share of 0 is an AR(1), autocorrelation 0 is white noise, what lies between is an ARMA(1, 1): slow
    wandering of the network seen through a finite sample.
    """
    phi, slow, fast = [], [], []
    for slow_scale, fast_scale in scales:
        for autocorrelation, white in [(0.0, 1.0)] + [
            (a, w) for a in AUTOCORRELATIONS for w in WHITE_FRACTIONS
        ]:
            phi.append(autocorrelation)
            slow.append(np.sqrt(1 - white) * slow_scale)
            fast.append(np.sqrt(white) * fast_scale)
    return Models(autocorrelation=np.array(phi), slow=np.array(slow), fast=np.array(fast))


class Whitener:
    """One-step prediction errors of columns over their standard deviations, under each of K models.

    The Kalman filter: L^-1 columns for a covariance L L', in O(T) instead of O(T^3). White noise of scale 1
    returns the columns. ``log_det`` is that of the covariance, per model.

    Source: Durbin & Koopman 2012, Time Series Analysis by State Space Methods, section 4.3.
    """

    def __init__(self, models: Models) -> None:
        phi, slow, fast = models.autocorrelation, models.slow.T, models.fast.T
        num_records = len(slow)
        predicted = np.empty((num_records + 1, len(models)))  # variance of the state before each record
        predicted[0] = 1.0
        phi2, slow2, fast2 = phi**2, slow**2, fast**2
        driven, fresh = phi2 * fast2, 1 - phi2
        scratch = np.empty(len(models))
        for t in range(num_records):
            before, after = predicted[t], predicted[t + 1]
            np.multiply(slow2[t], before, out=scratch)
            scratch += fast2[t]
            np.multiply(driven[t], before, out=after)
            after /= scratch
            after += fresh
        total = slow**2 * predicted[:-1] + fast**2
        self.slow, self.sd = slow, np.sqrt(total)
        self.gain = phi * predicted[:-1] * slow / total
        self.keep = phi - self.gain * slow
        self.log_det: Float[Array, " K"] = np.log(total).sum(axis=0)

    def __call__(self, columns: Float[Array, "T R"]) -> Float[Array, "K T R"]:
        # Models run along the last axis: the loop is over records, and its inner products are contiguous.
        errors = columns[:, :, None] * np.ones(len(self.log_det))
        driven = errors * self.gain[:, None]
        state = np.zeros(errors.shape[1:])
        scratch = np.empty_like(state)
        for error, drive, slow, keep in zip(errors, driven, self.slow, self.keep, strict=True):
            np.multiply(slow, state, out=scratch)
            np.subtract(error, scratch, out=error)
            state *= keep
            state += drive
        errors /= self.sd[:, None]
        return errors.transpose(2, 0, 1)

    def matrix(self, which: int) -> Float[Array, "T T"]:
        """L^-1 of one model: the prediction errors of the unit vectors."""
        num_records = len(self.sd)
        state = np.zeros((num_records, num_records))
        keep, gain = self.keep[:, which], self.gain[:, which]
        for t in range(num_records - 1):
            np.multiply(state[t], keep[t], out=state[t + 1])
            state[t + 1, t] = gain[t]
        state *= -self.slow[:, which, None]
        state.flat[:: num_records + 1] += 1.0
        state /= self.sd[:, which, None]
        return state


@functools.lru_cache(maxsize=16)
def stationary(num_records: int) -> tuple[Models, Whitener]:
    """The candidates with scales of 1 and their filters, which depend on the number of records only."""
    one = np.ones(num_records)
    models = candidates([(one, one)])
    return models, Whitener(models)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """How well each model explains a curve: ``weight`` sums to 1, ``variance`` is sigma^2 of each."""

    weight: Float[Array, " K"]
    variance: Float[Array, " K"]
    filters: Whitener

    @property
    def best(self) -> int:
        return int(np.argmax(self.weight))


def fit(
    models: Models,
    mean: Float[Array, "T C"],
    values: Float[Array, " T"],
    floor: float,
    *,
    prior_power: float = 0.0,
    filters: Whitener | None = None,
) -> Fit:
    """Restricted likelihood of each model around ``mean @ b``, b free, as weights.

    The restricted likelihood does not read the trend it has removed as an absence of slow noise, which is
    what makes the ordinary one find phi = .9 where it is .95. ``floor`` is the least sigma^2. The prior is
    (1 - phi)^prior_power: 0 is flat over the models, which crowd towards phi = 1; 1 is flat in phi.
    ``filters`` are those of ``models``, where they are known already.

    Source: Harville 1977, J. Am. Stat. Assoc. 72, 320-338; near phi = 1, Chen & Deo 2009, Econometric
    Theory 25, 1143-1179.
    """
    num_records, num_mean = mean.shape
    whitener = filters or Whitener(models)
    errors = whitener(np.column_stack([mean, values]))
    gram = errors.transpose(0, 2, 1) @ errors
    xx, xy, yy = gram[:, :num_mean, :num_mean], gram[:, :num_mean, num_mean], gram[:, num_mean, num_mean]
    ridge = 1e-12 * np.trace(xx, axis1=1, axis2=2)[:, None, None] * np.eye(num_mean)
    coefficients = np.linalg.solve(xx + ridge, xy[:, :, None])[:, :, 0]
    rss = np.maximum(yy - (xy * coefficients).sum(axis=1), 0.0)
    freedom = max(num_records - num_mean, 1)
    variance = np.maximum(rss / freedom, floor)
    log_likelihood = -0.5 * (
        freedom * np.log(variance) + rss / variance + whitener.log_det + np.linalg.slogdet(xx + ridge)[1]
    )
    log_likelihood += prior_power * np.log1p(-models.autocorrelation)
    weight = np.exp(log_likelihood - log_likelihood.max())
    return Fit(weight=weight / weight.sum(), variance=variance, filters=whitener)


def draw(models: Models, fitted: Fit, num_draws: int, generator: np.random.Generator) -> Float[Array, "T B"]:
    """Noise from models drawn by their weights: not knowing phi is part of not knowing the curve."""
    chosen = generator.choice(len(models), size=num_draws, p=fitted.weight)
    shock, white = generator.standard_normal((2, models.slow.shape[1], num_draws))
    phi = models.autocorrelation[chosen]
    shock[1:] *= np.sqrt(1 - phi**2)  # u_1 is stationary already
    for each in np.unique(phi):
        mine = phi == each
        shock[:, mine] = lfilter([1.0], [1.0, -each], shock[:, mine], axis=0)
    noise = models.slow[chosen].T * shock + models.fast[chosen].T * white
    return np.asarray(np.sqrt(fitted.variance[chosen]) * noise)
