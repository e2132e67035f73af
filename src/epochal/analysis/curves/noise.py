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
COLLINEAR = 1e-6


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
    pairs = [(0.0, 1.0)] + [(a, w) for a in AUTOCORRELATIONS for w in WHITE_FRACTIONS]
    phi, white = np.array(pairs).T
    slow, fast = (
        np.concatenate([np.outer(share, scale) for scale in which])
        for share, which in zip((np.sqrt(1 - white), np.sqrt(white)), zip(*scales, strict=True), strict=True)
    )
    return Models(autocorrelation=np.tile(phi, len(scales)), slow=slow, fast=fast)


class Whitener:
    """One-step prediction errors of columns over their standard deviations, under each of K models.

    The Kalman filter: L^-1 columns for a covariance L L', in O(T) instead of O(T^3). White noise of scale 1
    returns the columns. ``log_det`` is that of the covariance, per model.

    Source: Durbin & Koopman 2012, Time Series Analysis by State Space Methods, section 4.3.
    """

    def __init__(self, models: Models) -> None:
        phi, slow, fast = models.autocorrelation, models.slow.T.copy(), models.fast.T.copy()
        num_records = len(slow)
        predicted = np.empty((num_records + 1, len(models)))  # variance of the state before each record
        predicted[0] = 1.0
        phi2 = phi**2
        seen = fast**2 / np.maximum(slow**2, 1e-30)  # variance of what a record tells of the state
        driven, fresh = phi2 * seen, 1 - phi2
        scratch = np.empty(len(models))
        for before, after, own, drive in zip(predicted[:-1], predicted[1:], seen, driven, strict=True):
            np.add(before, own, out=scratch)
            np.divide(before, scratch, out=scratch)
            scratch *= drive
            np.add(scratch, fresh, out=after)
        total = slow**2 * predicted[:-1] + fast**2
        self.slow, self.sd = slow, np.sqrt(total)
        self.gain = phi * predicted[:-1] * slow / total
        self.keep = phi - self.gain * slow
        self.log_det: Float[Array, " K"] = np.log(total).sum(axis=0)

    def __call__(self, columns: Float[Array, "T R"]) -> Float[Array, "K T R"]:
        # Models run along the last axis: the loop is over records, and its inner products are contiguous.
        gain, keep, slow, sd = (
            a.astype(columns.dtype, copy=False) for a in (self.gain, self.keep, self.slow, self.sd)
        )
        state = np.empty((*columns.shape, len(self.log_det)), dtype=columns.dtype)
        state[0] = 0.0
        np.multiply(columns[:-1, :, None], gain[:-1, None], out=state[1:])
        scratch = np.empty_like(state[0])
        for before, after, kept in zip(state[:-1], state[1:], keep[:-1], strict=True):
            np.multiply(before, kept, out=scratch)
            np.add(after, scratch, out=after)
        state *= slow[:, None]
        errors = np.subtract(columns[:, :, None], state, out=state)
        errors /= sd[:, None]
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
    log_odds: Float[Array, " K"] | float = 0.0,
    filters: Whitener | None = None,
) -> Fit:
    """Restricted likelihood of each model around ``mean @ b``, b free, as weights.

    The restricted likelihood does not read the trend it has removed as an absence of slow noise, which is
    what makes the ordinary one find phi = .9 where it is .95. ``floor`` is the least sigma^2. The prior is
    (1 - phi)^prior_power: 0 is flat over the models, which crowd towards phi = 1; 1 is flat in phi.
    ``log_odds`` adds to its logarithm. ``filters`` are those of ``models``, where they are known already.

    Source: Harville 1977, J. Am. Stat. Assoc. 72, 320-338; near phi = 1, Chen & Deo 2009, Econometric
    Theory 25, 1143-1179.
    """
    whitener = filters or Whitener(models)
    basis = orthonormal(mean)
    num_records, num_mean = basis.shape
    rest = values - basis @ (basis.T @ values)
    scale = max(float(np.abs(rest).max()), 1e-300)
    # What is left of the values is of the size of the noise: single precision is enough, and twice as fast.
    errors = whitener(np.column_stack([basis, rest / scale]).astype(np.float32))
    gram = np.matmul(errors.transpose(0, 2, 1), errors).astype(np.float64)
    xx, xy, yy = gram[:, :num_mean, :num_mean], gram[:, :num_mean, num_mean], gram[:, num_mean, num_mean]
    coefficients = np.linalg.solve(xx, xy[:, :, None])[:, :, 0]
    rss = scale**2 * np.maximum(yy - (xy * coefficients).sum(axis=1), 0.0)
    freedom = max(num_records - num_mean, 1)
    variance = np.maximum(rss / freedom, floor)
    log_likelihood = -0.5 * (
        freedom * np.log(variance) + rss / variance + whitener.log_det + np.linalg.slogdet(xx)[1]
    )
    log_likelihood += prior_power * np.log1p(-models.autocorrelation) + log_odds
    weight = np.exp(log_likelihood - log_likelihood.max())
    return Fit(weight=weight / weight.sum(), variance=variance, filters=whitener)


def orthonormal(columns: Float[Array, "T C"]) -> Float[Array, "T c"]:
    """A basis of what the columns span."""
    basis, size, _ = np.linalg.svd(columns / np.linalg.norm(columns, axis=0), full_matrices=False)
    return np.asarray(basis[:, size > COLLINEAR * size[0]])


def draw(models: Models, fitted: Fit, num_draws: int, generator: np.random.Generator) -> Float[Array, "T B"]:
    """Noise from models drawn by their weights: not knowing phi is part of not knowing the curve.

    Draws of one model are neighbours: they are to be used together, not in their order.
    """
    num_records = models.slow.shape[1]
    counts = generator.multinomial(num_draws, fitted.weight)
    chosen = np.flatnonzero(counts)
    shock, white = generator.standard_normal((2, num_draws, num_records))
    ends = np.cumsum(counts[chosen])
    for k, first, end in zip(chosen, ends - counts[chosen], ends, strict=True):
        phi, mine = models.autocorrelation[k], shock[first:end]
        mine[:, 1:] *= np.sqrt(1 - phi**2)  # u_1 is stationary already
        sigma = np.sqrt(fitted.variance[k])
        shock[first:end] = sigma * models.slow[k] * lfilter([1.0], [1.0, -phi], mine)
        white[first:end] *= sigma * models.fast[k]
    shock += white
    return np.asarray(shock.T)
