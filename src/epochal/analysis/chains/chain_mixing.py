"""Whether Markov chains have mixed, and how much their draws are worth: R-hat and effective sample size.

Source: Vehtari, Gelman, Simpson, Carpenter & Buerkner 2021, "Rank-normalization, folding, and localization:
an improved R-hat for assessing convergence of MCMC"; autocovariances are cut by Geyer's (1992) initial
monotone sequence.
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import fft, special, stats

Array = NDArray[np.float64]


def rank_rhat(draws: Float[Array, "K T"]) -> float:
    """Rank-normalised split R-hat: the larger one of the draws and of their distances from the median.

    1 where chains agree; above 1.01 (Vehtari et al.) to 1.05 they do not yet. NaN below 4 draws or where a
    draw is not finite; infinite where chains are constant but differ.
    """
    if draws.shape[-1] < 4 or not np.isfinite(draws).all():
        return float("nan")
    halves = split(draws)
    folded = np.abs(halves - np.median(halves))
    return max(plain_rhat(rank_normalised(halves)), plain_rhat(rank_normalised(folded)))


def plain_rhat(draws: Float[Array, "K T"]) -> float:
    """``sqrt((within (n - 1) / n + between / n) / within)``; 1 where nothing varies at all."""
    n = draws.shape[-1]
    within = draws.var(axis=-1, ddof=1).mean()
    between = n * draws.mean(axis=-1).var(ddof=1)
    if within == 0:
        return 1.0 if between == 0 else float("inf")
    return float(np.sqrt((n - 1) / n + between / (n * within)))


def bulk_ess(draws: Float[Array, "K T"]) -> float:
    """Effective number of draws of the rank-normalised split chains: comparable between quantities."""
    return _checked_ess(draws, normalised=True)


def mean_ess(draws: Float[Array, "K T"]) -> float:
    """Effective number of draws for the mean: its standard error is ``sd / sqrt(mean_ess)``.

    Chains that disagree lower it, so that the error holds what is between chains, too.
    """
    return _checked_ess(draws, normalised=False)


def mean_error(draws: Float[Array, "K T"]) -> float:
    """Standard error of the mean over all chains and draws."""
    ess = mean_ess(draws)
    return float(draws.std(ddof=1) / np.sqrt(ess)) if ess > 0 else float("nan")


def split(draws: Float[Array, "K T"]) -> Float[Array, "2K T/2"]:
    """Halves of chains as chains; the middle of an odd number is left out."""
    half = draws.shape[-1] // 2
    return np.concatenate([draws[:, :half], draws[:, draws.shape[-1] - half :]])


def rank_normalised(draws: Float[Array, "K T"]) -> Float[Array, "K T"]:
    """Normal scores of the ranks over all chains; ties get their mean rank."""
    ranks = stats.rankdata(draws, method="average").reshape(draws.shape)
    return np.asarray(special.ndtri((ranks - 0.375) / (draws.size + 0.25)))


def autocovariance(draws: Float[Array, "K T"]) -> Float[Array, "K T"]:
    """Of each chain, divided by T at every lag."""
    n = draws.shape[-1]
    centred = draws - draws.mean(axis=-1, keepdims=True)
    spectrum = fft.rfft(centred, fft.next_fast_len(2 * n), axis=-1)
    return np.asarray(fft.irfft(np.abs(spectrum) ** 2, axis=-1)[..., :n] / n)


def _checked_ess(draws: Float[Array, "K T"], *, normalised: bool) -> float:
    if draws.shape[-1] < 4 or not np.isfinite(draws).all():
        return float("nan")
    if draws.max() - draws.min() < np.finfo(np.float64).resolution:
        return float(draws.size)  # nothing varies: every draw says the same
    halves = split(draws)
    return _ess(rank_normalised(halves) if normalised else halves)


def _ess(draws: Float[Array, "K T"]) -> float:
    chains, n = draws.shape
    covariance = autocovariance(draws)
    within = covariance[:, 0].mean() * n / (n - 1)
    total = within * (n - 1) / n
    if chains > 1:
        total += draws.mean(axis=-1).var(ddof=1)
    if total == 0:
        return float(draws.size)
    correlation = 1 - (within - covariance.mean(axis=0) * n / (n - 1)) / total
    correlation[0] = 1
    # Geyer: in a reversible chain sums of neighbours are positive and fall; what does not is noise.
    pairs = correlation[: n - n % 2].reshape(-1, 2).sum(axis=1)
    end = int(np.argmax(pairs <= 0)) if (pairs <= 0).any() else len(pairs)
    monotone = np.minimum.accumulate(pairs[: max(end, 1)])
    time = -1 + 2 * float(monotone.sum())
    return float(draws.size / max(time, 1 / np.log10(draws.size)))
