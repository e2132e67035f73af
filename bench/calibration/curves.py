"""Simulated curves whose truth is known: without a transition, and with one."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]

LOGIT_SPAN = 2 * np.log(9)


def seeds(name: str, replicates: int) -> list[np.random.Generator]:
    """One generator per replicate, the same for the same name."""
    return [np.random.Generator(np.random.PCG64([zlib.crc32(name.encode()), r])) for r in range(replicates)]


def logistic(t: Array, low: float, height: float, midpoint: float, width: float) -> Array:
    """From ``low`` by ``height``; ``width`` from 10% to 90%."""
    return np.asarray(low + height * expit(LOGIT_SPAN * (t - midpoint) / width))


def wander(num_records: int, phi: float, rng: np.random.Generator) -> Array:
    """AR(1) of variance 1 over records; a random walk with unit steps for phi = 1."""
    noise = rng.standard_normal(num_records)
    if phi == 1:
        return np.cumsum(noise)
    for t in range(1, num_records):
        noise[t] = phi * noise[t - 1] + np.sqrt(1 - phi**2) * noise[t]
    return noise


def schedule(name: str, num_records: int) -> Array:
    if name == "linear":
        return np.arange(num_records) * 100.0
    return np.unique(np.concatenate([[0], np.rint(np.geomspace(1, 1e5, num_records))]))


def observe(mean: Array, phi: float, sd: float, trials: int | None, rng: np.random.Generator) -> Array:
    """mean + sd * AR(1), cut to [0, 1], then a binomial proportion where there are ``trials``."""
    p = np.clip(mean + sd * wander(len(mean), phi, rng), 0, 1)
    return rng.binomial(trials, p) / trials if trials else p


def null_curve(name: str, steps: Array, rng: np.random.Generator) -> Array:
    T = len(steps)
    t = np.arange(T)
    half = np.full(T, 0.5)
    if name == "AR(0.95) + binomial(200)":
        return observe(half, 0.95, 0.02, 200, rng)
    if name.startswith("AR(") and name.endswith(")"):
        return observe(half, float(name[3:-1]), 0.02, None, rng)
    if name == "random walk, sd .006 a record":
        return np.clip(0.5 + 0.006 * wander(T, 1.0, rng), 0, 1)
    if name == "spike of 1 record" or name == "stay of 5 records":
        length = 1 if name.endswith("1 record") else 5
        curve = observe(half, 0.5, 0.01, None, rng)
        first = rng.integers(5, T - 10)
        curve[first : first + length] += 0.3
        return curve
    if name.startswith("iid binomial"):
        p = 0.02 if name.endswith(".02") else 0.5
        return observe(np.full(T, p), 0, 0, 500, rng)
    means = {
        "drift, linear": 0.3 + 0.3 * t / T,
        "drift, log step": 0.3 + 0.3 * np.log1p(steps) / np.log1p(steps[-1]),
        "drift, quadratic": 0.3 + 0.3 * (t / T) ** 2,
        "drift, saturating": 0.3 + 0.3 * (1 - np.exp(-3 * t / T)),
        "drift, half cosine": 0.45 - 0.15 * np.cos(np.pi * t / T),
        "transient, exp, 5 records": 0.7 - 0.5 * np.exp(-t / 5),
        "transient, exp, 20 records": 0.7 - 0.5 * np.exp(-t / 20),
        "transient, power law": 0.7 - 0.5 / (1 + t / 3),
        "transient, two exp": 0.8 - 0.4 * np.exp(-t / 3) - 0.2 * np.exp(-t / 40),
    }
    return observe(means[name], 0.9, 0.01, None, rng)


NULLS = (
    "iid binomial",
    "iid binomial at .02",
    "AR(0.5)",
    "AR(0.9)",
    "AR(0.95)",
    "AR(0.95) + binomial(200)",
    "drift, linear",
    "drift, log step",
    "drift, quadratic",
    "drift, saturating",
    "drift, half cosine",
    "transient, exp, 5 records",
    "transient, exp, 20 records",
    "transient, power law",
    "transient, two exp",
    "spike of 1 record",
    "stay of 5 records",
)


@dataclass(frozen=True, kw_only=True)
class Planted:
    steps: Array
    values: Array
    midpoint: float  # in steps
    oracle: float  # length of a 95% interval for one who knows the noise, in the unit of the axis


def planted(
    width: float,
    name: str,
    num_records: int,
    phi: float,
    sd: float,
    trials: int | None,
    rng: np.random.Generator,
    *,
    low: float = 0.1,
    height: float = 0.8,
) -> Planted:
    """A logistic from .1 to .9 on the schedule's own axis, ``width`` record intervals from 10% to 90%.

    The oracle knows axis and covariance, not levels, midpoint and width: 2 * 1.96 standard errors from the
    information matrix of those four.
    """
    steps = schedule(name, num_records)
    x = np.log1p(steps) if name == "log" else steps
    index = np.arange(len(x))
    place = rng.uniform(0.35, 0.65) * len(x)
    m = float(np.interp(place, index, x))
    w = float(np.interp(place + width / 2, index, x) - np.interp(place - width / 2, index, x))
    g = expit(LOGIT_SPAN * (x - m) / w)
    mean = low + height * g
    slope = g * (1 - g) * LOGIT_SPAN
    design = np.column_stack([np.ones_like(x), g, slope, slope * (x - m) / w])
    covariance = sd**2 * phi ** np.abs(index[:, None] - index) if sd else np.zeros((len(x), len(x)))
    covariance = covariance + np.diag((mean * (1 - mean) / trials if trials else 0 * mean) + 1e-10)
    information = design.T @ np.linalg.solve(covariance, design)
    error = np.sqrt(np.linalg.pinv(information)[2, 2]) * w / abs(height)
    return Planted(
        steps=steps,
        values=observe(mean, phi, sd, trials, rng),
        midpoint=float(np.expm1(m)) if name == "log" else m,
        oracle=float(2 * 1.96 * error),
    )
