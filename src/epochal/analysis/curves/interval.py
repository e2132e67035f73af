"""A bootstrap interval for the midpoint of a fitted transition."""

import math

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from epochal.analysis.curves import noise
from epochal.analysis.curves.estimate import (
    LEAST_WIDTH,
    Problem,
    Scene,
    Transition,
    bounded,
    local_columns,
    scene,
)
from epochal.analysis.curves.logistic import on_axis, spacing

Array = NDArray[np.float64]

NUM_MIDPOINTS = 41
NUM_WIDTHS = 7
# The interval keeps midpoints whose deviance is below a quantile near 4; beyond 16 nothing need be looked at.
FAR = 16.0
NUM_ERRORS = 5.0
REGULAR = 0.4  # the standard error of log width up to which the information matrix is believed
MOST_PLACES = 60
MOST_EXTENSIONS = 3
SLOW = (0.88, 0.91)  # autocorrelations between which the interval is stretched more and more
PURE = (0.8, 0.95)  # shares of slow noise in the variance between which it is stretched more and more
MOST_STRETCH = 0.35


def midpoint_interval(
    problem: Problem, fitted: Transition, *, confidence: float, num_draws: int, generator: np.random.Generator
) -> tuple[float, float]:
    """Interval for the midpoint, in the unit of the axis: all that the curve does not speak against.

    D(m) = (min_w RSS(m, w) - min_m,w RSS(m, w)) / sigma^2 <= c

    RSS is whitened by the likeliest noise model, over logistics that go the way of the fitted one. c is the
    ``confidence`` quantile of D(true midpoint) over curves simulated from the fitted one, with noise models
    drawn by their weights: near 3.84 for a wide transition in many records, larger where phi is not well
    known or the width nears a record interval.

    Source: profile likelihood with a bootstrap critical value, Hall 1987, J. R. Stat. Soc. B 49, 305-317.
    """
    x = on_axis(problem.steps, fitted.place.axis)
    at = scene(x, fitted.whitening, fitted.nuisance)
    freedom = max(len(x) - fitted.nuisance.shape[1] - 3, 1)
    draws = noise.draw(fitted.models, fitted.noise, num_draws, generator) + fitted.mean[:, None]
    curves = at.free(np.column_stack([problem.values, draws]))
    total = np.einsum("tb,tb->b", curves, curves)
    sign = math.copysign(1.0, fitted.height)
    search = Region(at, fitted, curves[:, 0], freedom)
    for _ in range(MOST_EXTENSIONS + 1):
        m, M, W = search.points()
        # A change the other way is another event, not another midpoint of this one.
        explained = np.maximum(at.directions(M, W).T @ curves * sign, 0.0)
        explained *= explained
        profile = explained.reshape(len(m), -1, curves.shape[1]).max(axis=1)
        best = profile.max(axis=0)
        variance = np.maximum((total - best) / freedom, fitted.floor)
        centre = int(np.searchsorted(m, fitted.place.midpoint))
        # "weibull": one more draw stays below the quantile with a probability of just ``confidence``.
        simulated = (best - profile[centre])[1:] / variance[1:]
        threshold = float(np.quantile(simulated, confidence, method="weibull"))
        deviance = (best[0] - profile[:, 0]) / variance[0]
        inside = np.flatnonzero(deviance <= threshold)
        first, last = int(inside[0]), int(inside[-1])
        if not search.extend(first == 0, last == len(m) - 1):
            break
    low, high = crossing(m, deviance, first, -1, threshold), crossing(m, deviance, last, 1, threshold)
    longer = stretch(x, fitted)
    centre_x = fitted.place.midpoint
    return centre_x + longer * (low - centre_x), centre_x + longer * (high - centre_x)


def stretch(x: Float[Array, " T"], fitted: Transition) -> float:
    """What the interval must be longer by where slow noise is as slow as the transition.

    c is simulated at the noise that was found, and an autocorrelation near 1 is found too small as often as
    too large. That costs coverage only where the transition lasts for several correlation times, since a
    sharper one is judged by the records around it; and only where the noise is slow almost alone: beside fast
    noise its size is found too large rather than too small. The numbers were chosen by simulation.
    """
    models, noise_ = fitted.models, fitted.noise
    phi = models.autocorrelation
    slow, fast = (models.slow**2).mean(axis=1), (models.fast**2).mean(axis=1)
    lasting = slow * (1 + phi) / np.maximum(1 - phi, 1e-6)
    found = float(noise_.weight @ (phi * lasting / (lasting + fast)))
    alone = float(noise_.weight @ (slow / (slow + fast)))
    onset, end = np.searchsorted(x, fitted.place.midpoint + fitted.place.width * np.array([-0.5, 0.5]))
    lasts = min(max((end - onset) * (1 - found) / 2, 0.0), 1.0)
    return float(1 + MOST_STRETCH * lasts * _ramp(found, SLOW) * _ramp(alone, PURE))


def _ramp(value: float, between: tuple[float, float]) -> float:
    """0 below, 1 above, linear between."""
    low, high = between
    return min(max((value - low) / (high - low), 0.0), 1.0)


def crossing(m: Float[Array, " K"], deviance: Float[Array, " K"], at: int, side: int, level: float) -> float:
    """Where sqrt(deviance), nearly linear away from its minimum, crosses sqrt(level) outside of ``m[at]``."""
    if not 0 <= at + side < len(m):
        return float(m[at])
    inner, outer = np.sqrt(np.maximum(deviance[[at, at + side]], 0))
    share = (np.sqrt(level) - inner) / max(outer - inner, 1e-300)
    return float(m[at] + np.clip(share, 0, 1) * (m[at + side] - m[at]))


class Region:
    """The midpoints, and the widths at each, that the profile is taken over.

    Five standard errors, along the ridge of the likelihood, where the information matrix is to be believed;
    else all that a coarse search over the records does not rule out.
    """

    def __init__(self, at: Scene, fitted: Transition, curve: Float[Array, " T"], freedom: int) -> None:
        self.x, self.place = at.x, fitted.place
        self.gap = float(spacing(at.x, np.array(self.place.midpoint)))
        columns = at.free(local_columns(at.x, self.place.midpoint, self.place.width).T)
        columns[:, 1:] *= fitted.height
        information = columns.T @ columns
        explained = (columns[:, 0] @ curve) ** 2 / max(information[0, 0], 1e-300)
        variance = max(float(curve @ curve - explained) / freedom, fitted.floor)
        self.slope = 0.0
        if np.linalg.cond(information) < 1e10:
            covariance = np.linalg.inv(information)[1:, 1:] * variance
            if covariance[1, 1] < REGULAR**2 and covariance[0, 0] < 1:
                reach = NUM_ERRORS * float(np.sqrt(covariance[0, 0])) * self.place.width
                self.low, self.high = self.place.midpoint - reach, self.place.midpoint + reach
                self.slope = float(covariance[0, 1] / covariance[0, 0]) / self.place.width
                left = covariance[1, 1] - covariance[0, 1] ** 2 / covariance[0, 0]
                self.ratios = np.exp(3.5 * np.sqrt(max(left, 1e-8)) * np.linspace(-1, 1, NUM_WIDTHS))
                return
        between = (at.x[1:] + at.x[:-1]) / 2
        places = np.append(
            between[np.argsort(np.abs(between - self.place.midpoint))[:MOST_PLACES]], self.place.midpoint
        )
        widths = np.geomspace(LEAST_WIDTH * self.gap, max(8 * self.place.width, 4 * self.gap), NUM_WIDTHS)
        widths = np.unique(bounded(at.x, self.place.midpoint, np.append(widths, self.place.width)))
        M, W = (a.ravel() for a in np.meshgrid(places, widths, indexing="ij"))
        explained = np.maximum(at.directions(M, W).T @ curve * np.sign(fitted.height), 0.0) ** 2
        rss = float(curve @ curve) - explained
        near = rss - rss.min() <= FAR * max(float(rss.min()) / freedom, fitted.floor)
        self.low, self.high = float(M[near].min()) - self.gap, float(M[near].max()) + self.gap
        self.ratios = np.unique(W[near]) / self.place.width

    def points(self) -> tuple[Float[Array, " m"], Float[Array, " K"], Float[Array, " K"]]:
        """Sorted midpoints, and all pairs of midpoint and width, those of one midpoint together."""
        self.low, self.high = max(self.low, self.x[0]), min(self.high, self.x[-1])
        m = np.unique(np.append(np.linspace(self.low, self.high, NUM_MIDPOINTS), self.place.midpoint))
        ridge = self.place.width * np.exp(np.clip(self.slope * (m - self.place.midpoint), -3, 3))
        widths = bounded(self.x, self.place.midpoint, ridge[:, None] * self.ratios)
        return m, np.repeat(m, len(self.ratios)), widths.ravel()

    def extend(self, low_is_open: bool, high_is_open: bool) -> bool:
        """Look further on the open sides; False where there is nothing further."""
        reach = self.high - self.low
        low_is_open, high_is_open = (
            low_is_open and self.low > self.x[0],
            high_is_open and self.high < self.x[-1],
        )
        self.low, self.high = self.low - reach * low_is_open, self.high + reach * high_is_open
        return low_is_open or high_is_open
