"""The fitted transition: its axis, midpoint, width and height, its noise, and what else the curve does."""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from epochal.analysis.curves import noise
from epochal.analysis.curves.logistic import (
    AXES,
    MAX_WIDTH_FRACTION,
    WIDTH_RATIO,
    Axis,
    on_axis,
    rise,
    spacing,
    to_step,
)

Array = NDArray[np.float64]

NUM_TURNS = 2  # the first with noise of one scale, the second with all
# Flat over the models (0) makes intervals twice too long where noise is white and the rise wide; flat in
# phi (1) makes them too short where phi is .95.
PRIOR_POWER = 0.5
# How much likelier it must make the records that the fast noise of a proportion is not that of a sample: what
# the noise is within a transition that takes few records, those records do not tell.
SAMPLE_ODDS = 20.0
ZOOMS = (1.0, 0.4)
NUM_NEWTON = 8
STRIDES = np.array([1.0, 0.5, 0.2, 0.05, -0.1])
ENOUGH = 1e-3  # what a Newton step must add to go on, in twice the log likelihood
NUDGE = 0.02  # of a width, for derivatives
LEAST_WIDTH = 0.1  # record intervals; what is narrower is a step to the records
# Twice the log likelihood that a drift must add beside the transition to be kept: it is the best of many.
DRIFT_WORTH = 20.0
DRIFT_HOPE = 4.0  # what it must add beside a logistic that was fitted without it, to be tried
HOPELESS = 40.0  # twice the log likelihood behind the best: not refined again
RIVAL_COST = 4.0  # twice the log likelihood
FLOOR_SD_FRACTION = 1e-4  # of the height: the sd of noise when the records show none


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """One curve, with what is known before the fit."""

    steps: Float[Array, " T"]
    values: Float[Array, " T"]
    drift: Float[Array, " T"]  # a candidate to stand beside the logistic
    is_proportion: bool
    trials: float | None


@dataclass(frozen=True, kw_only=True)
class Place:
    """A logistic: midpoint and width in the unit of its axis."""

    axis: Axis
    midpoint: float
    width: float

    def shape(self, steps: Float[Array, " T"]) -> Float[Array, " T"]:
        x = on_axis(steps, self.axis)
        return np.asarray(rise(x, np.array([self.midpoint]), np.array([self.width]))[0])

    def moved_to(self, axis: Axis, steps: Float[Array, " T"]) -> "Place":
        """The logistic on another axis with the same midpoint, onset and end in steps, roughly."""
        if axis == self.axis:
            return self
        first, last = on_axis(steps[[0, -1]], self.axis)
        at = [self.midpoint + f * self.width for f in (-0.5, 0.0, 0.5)]
        onset, midpoint, end = (
            float(on_axis(np.array(to_step(min(max(x, first), last), self.axis)), axis)) for x in at
        )
        return Place(axis=axis, midpoint=midpoint, width=end - onset)


@dataclass(frozen=True, kw_only=True, eq=False)
class Transition:
    """constant + height * logistic (+ drift) + noise, fitted."""

    place: Place
    rival: Place | None  # on the other axis, where it explains the curve about as well
    behind: float  # of the rival: twice the log likelihood, below ``RIVAL_COST``
    height: float
    mean: Float[Array, " T"]
    nuisance: Float[Array, "T C"]
    whitening: Float[Array, "T T"]  # of the likeliest model
    models: noise.Models
    noise: noise.Fit
    floor: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """One axis under one noise model: columns are whitened and freed of the nuisance columns."""

    x: Float[Array, " T"]
    freeing: Float[Array, "T T"]  # whitens, then projects the whitened nuisance columns out

    def free(self, columns: Float[Array, "T R"]) -> Float[Array, "T R"]:
        return np.asarray(self.freeing @ columns)

    def directions(self, midpoint: Float[Array, " K"], width: Float[Array, " K"]) -> Float[Array, "T K"]:
        """Unit vectors: the squared inner product with a freed curve is what that logistic explains."""
        columns = self.free(rise(self.x, midpoint, width).T)
        return np.asarray(columns / np.sqrt(np.maximum(np.einsum("tk,tk->k", columns, columns), 1e-18)))


def scene(x: Float[Array, " T"], whitening: Float[Array, "T T"], nuisance: Float[Array, "T C"]) -> Scene:
    basis, _ = np.linalg.qr(whitening @ nuisance)
    return Scene(x=x, freeing=whitening - basis @ (basis.T @ whitening))


def fit_transition(problem: Problem, start: Place) -> Transition:
    """Refine a logistic from the grid and its noise by turns, on both axes, with and without the drift.

    The width is kept between a tenth of a record interval and half of the records: below, records cannot
    tell it from a step; above it is a drift.
    """
    steps, values = problem.steps, problem.values
    constant = np.ones((len(steps), 1))
    nuisance, place = np.column_stack([constant, problem.drift]), start
    both = np.column_stack([constant, problem.drift])
    choices = [(axis, columns) for columns in (constant, both) for axis in AXES]
    places = [place.moved_to(axis, steps) for axis, _ in choices]
    costs = [0.0] * len(choices)
    for turn in range(NUM_TURNS):
        models, fitted, floor = fit_noise(problem, nuisance, place, first=turn == 0)
        whitening = fitted.filters.matrix(fitted.best)
        hopeless = [cost - min(costs) > HOPELESS for cost in costs]
        scenes: dict[int, Scene] = {}
        for number, (axis, columns) in enumerate(choices):
            if hopeless[number]:
                costs[number] = math.inf
                continue
            # Both axes are freed of the same columns.
            plain = scenes.get(id(constant))
            if columns is both and plain and drift_gain(plain, problem, places[:2]) < DRIFT_HOPE:
                costs[number] = math.inf
                continue
            known = scenes.get(id(columns)) or scene(steps, whitening, columns)
            scenes[id(columns)] = known
            at = replace(known, x=on_axis(steps, axis))
            curve = at.free(values[:, None])[:, 0]
            places[number], rss = refine(at, curve, places[number], ZOOMS if turn == 0 else ())
            price = DRIFT_WORTH if columns is both else 0.0
            costs[number] = len(steps) * math.log(rss / len(steps) + floor) + price
        best = int(np.argmin(costs))
        place, nuisance = places[best], choices[best][1]
    other = best ^ 1  # the same columns on the other axis
    behind = costs[other] - costs[best]
    rival = places[other] if behind < RIVAL_COST else None
    columns = np.column_stack([nuisance, place.shape(steps)])
    white = whitening @ np.column_stack([columns, values])
    coefficients = np.linalg.lstsq(white[:, :-1], white[:, -1], rcond=None)[0]
    return Transition(
        place=place,
        rival=rival,
        behind=behind,
        height=float(coefficients[-1]),
        mean=columns @ coefficients,
        nuisance=nuisance,
        whitening=whitening,
        models=models,
        noise=fitted,
        floor=floor,
    )


def drift_gain(at: Scene, problem: Problem, places: list[Place]) -> float:
    """Twice the log likelihood that the drift adds beside the better of two refined logistics."""
    freed = at.free(
        np.column_stack([problem.values, problem.drift, *(p.shape(problem.steps) for p in places)])
    )
    curve, drift, shapes = freed[:, 0], freed[:, 1], freed[:, 2:].T
    rests = []
    for shape in shapes:
        own = max(float(shape @ shape), 1e-18)
        rest, other = (column - shape * (shape @ column) / own for column in (curve, drift))
        left = float(rest @ rest)
        gain = (rest @ other) ** 2 / max(float(other @ other), 1e-12 * float(drift @ drift), 1e-300)
        rests.append((left, float(gain)))
    left, gain = min(rests)
    return -len(curve) * math.log1p(-min(gain / max(left, 1e-300), 1 - 1e-12))


def fit_noise(
    problem: Problem, nuisance: Float[Array, "T C"], place: Place, *, first: bool
) -> tuple[noise.Models, noise.Fit, float]:
    columns = np.column_stack([nuisance, place.shape(problem.steps)])
    coefficients = np.linalg.lstsq(columns, problem.values, rcond=None)[0]
    mean = columns @ coefficients
    floor = least_variance(problem, mean, float(coefficients[-1]))
    if first:
        models, filters = noise.stationary(len(mean))
    else:
        models = noise.candidates(scales(problem, mean, columns[:, -1]))
        filters = noise.Whitener(models)
    # Midpoint and width were fitted too, and what they took from slow noise must be given back.
    slopes = local_columns(on_axis(problem.steps, place.axis), place.midpoint, place.width)[1:].T
    columns = np.column_stack([columns, slopes[:, np.abs(slopes).max(axis=0) > 1e-3]])
    log_odds = np.zeros(len(models))
    if problem.is_proportion and not first:
        log_odds[~like_a_sample(models, mean)] = -math.log(SAMPLE_ODDS)
    fitted = noise.fit(
        models,
        columns,
        problem.values,
        floor,
        prior_power=PRIOR_POWER,
        log_odds=log_odds,
        filters=filters,
    )
    return models, fitted, floor


def like_a_sample(models: noise.Models, mean: Float[Array, " T"]) -> Bool[NDArray[np.bool_], " K"]:
    """Which models have no fast noise, or one whose variance follows p (1 - p)."""
    binomial = binomial_scale(mean)
    share = models.fast.max(axis=1, keepdims=True) / binomial.max()
    return np.asarray((np.abs(models.fast - share * binomial) < 1e-9).all(axis=1))


def scales(
    problem: Problem, mean: Float[Array, " T"], level: Float[Array, " T"]
) -> list[tuple[Float[Array, " T"], Float[Array, " T"]]]:
    """Scales of slow and fast noise to choose from: constant, another at each level, binomial.

    The binomial ones vanish at 0 and 1 (but for 0.4% of the largest variance, since a network is never
    certain to stay there).
    """
    one = np.ones_like(mean)
    pairs = [(one, one)] + [(ratio**level, ratio**level) for ratio in (0.25, 4.0)]
    if problem.is_proportion:
        binomial = binomial_scale(mean)
        pairs += [(one, binomial), (binomial, binomial)]
    return pairs


def binomial_scale(mean: Float[Array, " T"]) -> Float[Array, " T"]:
    p = np.clip(mean, 0, 1)
    return np.asarray(np.sqrt(np.maximum(4 * p * (1 - p), 0.004)))


def least_variance(problem: Problem, mean: Float[Array, " T"], height: float) -> float:
    """Binomial variance where the number of trials is known, else next to nothing."""
    least = (FLOOR_SD_FRACTION * height) ** 2 + 1e-300
    if problem.trials is None:
        return least
    p = np.clip(mean, 0, 1)
    return max(least, float((p * (1 - p)).mean()) / problem.trials)


def refine(
    at: Scene, curve: Float[Array, " T"], start: Place, zooms: tuple[float, ...]
) -> tuple[Place, float]:
    """The logistic that explains most, by a shrinking grid and Newton steps, and the squares it leaves."""
    midpoint, width = start.midpoint, start.width
    total = float(curve @ curve)
    edges = at.x[[2, -3]]
    explained = -1.0

    def best_of(m: Float[Array, " K"], w: Float[Array, " K"]) -> None:
        nonlocal midpoint, width, explained
        gains = (at.directions(m, w).T @ curve) ** 2
        best = int(gains.argmax())
        if gains[best] > explained:
            midpoint, width, explained = float(m[best]), float(w[best]), float(gains[best])

    gap = float(spacing(at.x, np.array(midpoint)))
    best_of(*(np.array([a]) for a in (np.clip(midpoint, *edges), bounded(at.x, midpoint, np.array(width)))))
    for zoom in zooms:
        reach = zoom * max(0.5 * width, gap)
        m = np.clip(midpoint + reach * np.linspace(-1, 1, 9), *edges)
        w = bounded(at.x, midpoint, width * WIDTH_RATIO ** (zoom * np.linspace(-1, 1, 5)))
        M, W = (a.ravel() for a in np.meshgrid(m, w, indexing="ij"))
        best_of(M, W)
    for _ in range(NUM_NEWTON):
        before = explained
        columns = at.free(local_columns(at.x, midpoint, width).T)
        coefficients = np.linalg.lstsq(columns, curve, rcond=1e-8)[0]
        if not coefficients[0]:
            break
        shift, stretch = np.clip(coefficients[1:] / coefficients[0], -1, 1)
        m = np.clip(midpoint + STRIDES * shift * width, *edges)
        best_of(m, bounded(at.x, midpoint, width * np.exp(STRIDES * stretch)))
        if explained - before <= ENOUGH * (total - explained) / len(curve):
            break
    return Place(axis=start.axis, midpoint=midpoint, width=width), max(total - explained, 0.0)


def local_columns(x: Float[Array, " T"], midpoint: float, width: float) -> Float[Array, "3 T"]:
    """The logistic and its derivatives with respect to midpoint / width and to log width."""
    shift = width * NUDGE * np.array([0.0, 1, -1, 0, 0])
    stretch = np.exp(NUDGE * np.array([0.0, 0, 0, 1, -1]))
    around = rise(x, midpoint + shift, width * stretch)
    return np.array([around[0], *(around[[1, 3]] - around[[2, 4]]) / (2 * NUDGE)])


def bounded(x: Float[Array, " T"], midpoint: float, width: Float[Array, "..."]) -> Float[Array, "..."]:
    """Widths kept between what records can resolve and what is a drift."""
    gap = float(spacing(x, np.array(midpoint)))
    index = np.arange(len(x), dtype=np.float64)
    place = float(np.interp(midpoint, x, index))
    reach = MAX_WIDTH_FRACTION * len(x) / 2
    most = float(np.interp(place + reach, index, x) - np.interp(place - reach, index, x))
    return np.clip(width, LEAST_WIDTH * gap, max(most, gap))
