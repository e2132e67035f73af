"""Evidence that a curve needs a transition: the likelihood ratio of a logistic against one more drift."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from epochal.analysis.curves.drift import drifts
from epochal.analysis.curves.logistic import grid

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# Profiled in the statistic. Its law is simulated, so a coarse grid costs power, never level.
PHIS = (0.0, 0.5, 0.8, 0.93, 0.985)
COLLINEAR = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Shapes:
    """The D drifts and the logistic grid of one record schedule, K shapes, and their inner products.

    The inner products are under each AR(1) of ``PHIS`` (F of them), orthogonal to the constant: ``cross`` of
    drifts with all shapes, ``square`` of each shape with itself.
    """

    shapes: Float[Array, "K T"]
    num_drifts: int
    along_constant: Float[Array, "F K"]
    cross: Float[Array, "F D K"]
    square: Float[Array, "F K"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """For B curves: the log likelihood ratio, and which drift and which logistic of the grid explain best."""

    log_ratio: Float[Array, " B"]
    drift: Int[Index, " B"]
    logistic: Int[Index, " B"]


def evidence(
    schedule: bytes,
    curves: Float[Array, "T B"],
    floor: float,
    *,
    sign: int = 0,
    single: bool = False,
) -> Evidence:
    """How much better a drift plus a logistic explains each curve than two drifts do.

    log ratio = max_phi,g l(constant + d + g; phi) - max_phi,d' l(constant + d + d'; phi)

    with l the Gaussian AR(1) likelihood, variance and coefficients maximised over. d is the best single
    drift, chosen anew once g is known, since an early transient hides a later change. Both sides have one
    shape beyond d: what only shows that d has the wrong form speaks for d' as much as for g, so that under
    no effect the log ratio is small, often negative. ``floor`` is the least marginal variance. With ``sign``
    1 or -1 a logistic explains nothing unless it rises or falls. ``single``
    precision is twice as fast, and enough for curves without a transition.
    """
    known = shapes_of(schedule, np.dtype(np.float32 if single else np.float64))
    curves = curves.astype(known.shapes.dtype)
    D, num_records = known.num_drifts, len(curves)
    products = project(known, curves - curves.mean(axis=0))
    likelihood = functools.partial(log_likelihood, num_records=num_records, floor=floor)

    alone_gain = [
        on[:D] ** 2 / square[:D, None] for on, square in zip(products.on, known.square, strict=True)
    ]
    value = np.array([likelihood(f, products.total[f] - alone_gain[f]) for f in range(len(PHIS))])
    drift = value.max(axis=0).argmax(axis=0)

    num_curves = curves.shape[1]
    with_, without = np.full((2, num_curves), -np.inf)
    logistic = np.zeros(num_curves, dtype=np.int64)
    final = drift.copy()
    todo = np.arange(num_curves)
    for last_round in (False, True):
        best = [beside(known, products, f, drift[todo], todo, sign) for f in range(len(PHIS))]
        rest = np.array(
            [products.total[f, todo] - alone_gain[f][drift[todo], todo] for f in range(len(PHIS))]
        )
        alone = np.array([likelihood(f, rest[f] - best[f].drift_gain) for f in range(len(PHIS))])
        both = np.array([likelihood(f, rest[f] - best[f].logistic_gain) for f in range(len(PHIS))])
        without[todo] = np.maximum(without[todo], alone.max(axis=0))
        at, each = both.argmax(axis=0), np.arange(len(todo))
        found = np.array([b.logistic for b in best])[at, each]
        better = both[at, each] > with_[todo]
        with_[todo[better]] = both[at, each][better]
        logistic[todo[better]], final[todo[better]] = found[better], drift[todo][better]
        if last_round:
            break
        anew = partner(known, products, at, found + D, todo)
        drift[todo], todo = anew, todo[anew != drift[todo]]
        if not len(todo):
            break
    return Evidence(log_ratio=with_ - without, drift=final, logistic=logistic)


@functools.lru_cache(maxsize=8)
def shapes_of(schedule: bytes, dtype: np.dtype[Any]) -> Shapes:
    drift = drifts(schedule)
    shapes = np.concatenate([drift, grid(schedule).bases])
    ones = np.ones((shapes.shape[1], 1))
    along_constant, cross, square = [], [], []
    for phi in PHIS:
        constant = precision(ones, phi)
        along, total = shapes @ constant[:, 0], constant.sum()
        along_constant.append(along / total)
        cross.append((shapes @ precision(drift.T, phi)).T - np.outer(along[: len(drift)], along) / total)
        square.append((shapes * precision(shapes.T, phi).T).sum(axis=1) - along**2 / total)
    return Shapes(
        shapes=shapes.astype(dtype),
        num_drifts=len(drift),
        along_constant=np.array(along_constant, dtype=dtype),
        cross=np.array(cross, dtype=dtype),
        square=np.maximum(np.array(square, dtype=dtype), 1e-12),
    )


def precision(columns: Float[Array, "T R"], phi: float) -> Float[Array, "T R"]:
    """``columns`` times the inverse covariance of a stationary AR(1) with unit innovations."""
    product = (1 + phi**2) * columns
    product[[0, -1]] -= phi**2 * columns[[0, -1]]
    product[1:] -= phi * columns[:-1]
    product[:-1] -= phi * columns[1:]
    return product


def log_likelihood(
    f: int, rss: Float[Array, "..."], *, num_records: int, floor: float
) -> Float[Array, "..."]:
    left = 1 - PHIS[f] ** 2  # innovation variance over marginal variance
    variance = np.maximum(rss, 0) / num_records + floor * left
    return np.asarray(-0.5 * num_records * np.log(variance) + 0.5 * np.log(left))


@dataclass(frozen=True, kw_only=True, eq=False)
class Products:
    on: Float[Array, "F K B"]  # shapes with curves, orthogonal to the constant
    total: Float[Array, "F B"]  # curves with themselves


def project(known: Shapes, curves: Float[Array, "T B"]) -> Products:
    """All inner products from two matrix products: the precision of an AR(1) is quadratic in phi."""
    neighbours = np.zeros_like(curves)
    neighbours[1:] += curves[:-1]
    neighbours[:-1] += curves[1:]
    both = known.shapes @ np.concatenate([curves, neighbours], axis=1)
    plain, lagged = both[:, : curves.shape[1]], both[:, curves.shape[1] :]
    inner = plain - known.shapes[:, [0, -1]] @ curves[[0, -1]]
    on, total = np.empty((len(PHIS), *plain.shape), dtype=both.dtype), []
    for f, phi in enumerate(PHIS):
        filtered = precision(curves, phi)
        constant = filtered.sum(axis=0)
        np.multiply(inner, phi**2, out=on[f])
        on[f] += plain
        on[f] -= phi * lagged
        on[f] -= np.outer(known.along_constant[f], constant)
        size = len(curves) - 2 * phi * (len(curves) - 1) + phi**2 * (len(curves) - 2)
        total.append((curves * filtered).sum(axis=0) - constant**2 / size)
    return Products(on=on, total=np.array(total))


@dataclass(frozen=True, kw_only=True, eq=False)
class Beside:
    drift_gain: Float[Array, " b"]
    logistic_gain: Float[Array, " b"]
    logistic: Int[Index, " b"]


def beside(
    known: Shapes, products: Products, f: int, drift: Int[Index, " b"], which: Int[Index, " b"], sign: int = 0
) -> Beside:
    """What the best second drift and the best logistic explain beyond the constant and ``drift``."""
    D = known.num_drifts
    on = products.on[f] if len(which) == products.on.shape[2] else products.on[f][:, which]
    cross = known.cross[f].T[:, drift]
    own = known.square[f][drift]
    rest = known.square[f][:, None] - cross**2 / own
    gain = on - cross * (on[drift, np.arange(len(drift))] / own)
    wrong = gain[D:] * sign < 0 if sign else None
    gain *= gain
    if wrong is not None:
        gain[D:][wrong] = 0
    gain /= np.maximum(rest, COLLINEAR * known.square[f][:, None])
    logistic = gain[D:].argmax(axis=0)
    return Beside(
        drift_gain=gain[:D].max(axis=0),
        logistic_gain=gain[D:][logistic, np.arange(len(drift))],
        logistic=logistic,
    )


def partner(
    known: Shapes, products: Products, at: Int[Index, " b"], shape: Int[Index, " b"], which: Int[Index, " b"]
) -> Int[Index, " b"]:
    """The drift that explains most beyond the constant and ``shape``, at each curve's own phi."""
    D = known.num_drifts
    cross = known.cross[at, :, shape].T
    own = known.square[at, shape]
    square = known.square[at, :D].T
    on = products.on[at, :, which].T
    gain = (on[:D] - cross * (on[shape, np.arange(len(shape))] / own)) ** 2
    return np.asarray((gain / np.maximum(square - cross**2 / own, COLLINEAR * square)).argmax(axis=0))
