"""The mean cosine under fresh Gaussian feedback, many draws at a time."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from epochal.analysis.nulls.directions import Directions

Array = NDArray[np.float64]

NUMBERS = 2**24  # that a block of draws or of samples may hold: 64 MiB in float32
SAMPLES = 512
FEW_CLASSES = 32
FEW_FEATURES = 32


def fresh_statistics(
    sites: Sequence[Directions], *, draws: int, seed: int, feedback: int = 0
) -> Float[Array, "K H"]:
    """T of each site under each of K fresh feedback matrices, which all sites share; NaN without samples.

    T_k = mean_i g_i . B_k e_i / ||B_k e_i||, B_k ``[d, C]`` of standard normal numbers

    The draws are a function of ``seed`` and ``feedback``, the index of the matrix: not of the sites, nor of
    how they are cut into blocks. 2 n d C operations per draw and site; memory does not grow with n or K.
    """
    d, num_classes = sites[0].gradients.shape[1], sites[0].errors.shape[1]
    assert all(site.gradients.shape[1] == d and site.errors.shape[1] == num_classes for site in sites)
    # Twice as fast, and 1e-7 beside a null sd of 1e-2. With few features ||B e||^2 may come near 0, and the
    # sum of products that gives it would cancel.
    dtype = np.float32 if d >= FEW_FEATURES else np.float64
    block = by_products if num_classes <= FEW_CLASSES else by_images
    generator = np.random.Generator(np.random.PCG64([seed, feedback]))
    size = max(1, NUMBERS // (d * num_classes))
    statistics = np.full((draws, len(sites)), np.nan)
    for first in range(0, draws, size):
        feedbacks = generator.standard_normal((min(size, draws - first), d, num_classes), dtype=dtype)
        for number, site in enumerate(sites):
            if len(site):
                total = block(site, feedbacks)
                statistics[first : first + size, number] = total / len(site)
    return statistics


def by_products(site: Directions, feedbacks: NDArray[np.floating]) -> Float[Array, " K"]:
    """Sums of cosines as two matrix products: samples' g e^T with B, and their e e^T with B^T B.

    ||B e||^2 = e^T (B^T B) e costs (C + 1) / (2 d) of the numerator.
    """
    num_draws, d, num_classes = feedbacks.shape
    i, j = np.triu_indices(num_classes)
    grams = np.matmul(feedbacks.transpose(0, 2, 1), feedbacks)[:, i, j]
    grams *= np.where(i == j, 1, 2).astype(grams.dtype)
    flat = feedbacks.reshape(num_draws, -1).T
    errors, gradients = site.errors.astype(flat.dtype), site.gradients.astype(flat.dtype)
    total = np.zeros(num_draws)
    size = min(SAMPLES, max(1, NUMBERS // (4 * d * num_classes)))
    for start in range(0, len(errors), size):
        e, g = errors[start : start + size], gradients[start : start + size]
        along = (g[:, :, None] * e[:, None, :]).reshape(len(e), -1) @ flat
        length = (e[:, i] * e[:, j]) @ grams.T
        np.sqrt(length, out=length)
        along /= length
        total += along.sum(axis=0, dtype=np.float64)
    return total


def by_images(site: Directions, feedbacks: NDArray[np.floating]) -> Float[Array, " K"]:
    """Sums of cosines draw by draw, from all B e: with many classes the products of pairs would be more."""
    dtype = feedbacks.dtype
    errors, gradients = site.errors.astype(dtype), site.gradients.astype(dtype)
    total = np.zeros(len(feedbacks))
    for start in range(0, len(errors), 4 * SAMPLES):
        e, g = errors[start : start + 4 * SAMPLES], gradients[start : start + 4 * SAMPLES]
        for number, feedback in enumerate(feedbacks):
            image = e @ feedback.T
            along = np.einsum("nd,nd->n", image, g)
            length = np.sqrt(np.einsum("nd,nd->n", image, image))
            total[number] += float((along / length).sum(dtype=np.float64))
    return total
