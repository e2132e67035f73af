"""Errors and gradients such as networks have, without training: a residual ReLU network at its start."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Network:
    """Gradients by site, the embedding first; what backpropagation needs of the blocks."""

    errors: Array
    gradients: list[Array]
    inward: list[Array]
    outward: list[Array]
    masks: list[Array]


def generator(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def network(
    g: np.random.Generator, *, n: int = 200, d: int = 32, classes: int = 10, depth: int = 3
) -> Network:
    """h + W2 relu(W1 h) blocks and a linear head; g_l = g_{l+1} + W1^T (mask * W2^T g_{l+1})."""
    hidden = g.normal(size=(n, d))
    inward = [g.normal(size=(d, d)) / np.sqrt(d) for _ in range(depth)]
    outward = [g.normal(size=(d, d)) / np.sqrt(d) for _ in range(depth)]
    masks = []
    for first, second in zip(inward, outward, strict=True):
        before = hidden @ first.T
        masks.append((before > 0).astype(float))
        hidden = hidden + np.maximum(before, 0) @ second.T
    head = g.normal(size=(classes, d)) / np.sqrt(d)
    errors = softmax(hidden @ head.T, axis=1) - np.eye(classes)[g.integers(classes, size=n)]
    gradients = [errors @ head]
    for first, second, mask in reversed(list(zip(inward, outward, masks, strict=True))):
        gradients.insert(0, gradients[0] + ((gradients[0] @ second) * mask) @ first)
    return Network(errors=errors, gradients=gradients, inward=inward, outward=outward, masks=masks)


def mean_cosine(credit: Array, gradients: Array) -> float:
    """By a loop over samples."""
    values = [a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in zip(credit, gradients, strict=True)]
    return float(np.mean(values))
