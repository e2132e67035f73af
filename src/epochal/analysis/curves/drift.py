"""Curves without a transition: slow drifts, and transients from the first or towards the last record."""

import functools

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Array = NDArray[np.float64]

POWERS = (0.25, 0.5, 1.0, 2.0, 4.0)
NUM_TIME_CONSTANTS = 16
EDGE_FRACTION = 0.05
MIN_EDGE_RECORDS = 2.0
SAME = 0.05


@functools.lru_cache(maxsize=16)
def drifts(schedule: bytes) -> Float[Array, "K T"]:
    """Shapes of which a curve without a transition is a constant plus a multiple of one.

    The step, its logarithm, powers of both, half a cosine over all records, exponential decays
    exp(-t / tau) and power laws (1 + t / tau)^-k from the first record, and their mirror images towards the
    last. A transient counts only where it has no level before it: 10% of it is over within the first 5% of
    the records (at least two), since on a logarithmic schedule an exponential with a long tau *is* a
    transition. Units: none, each runs from 0 to 1.
    """
    steps = np.frombuffer(schedule, dtype=np.float64)
    shapes: list[Array] = []
    edge = max(MIN_EDGE_RECORDS, EDGE_FRACTION * len(steps))
    for x in (steps, np.log1p(steps)):
        t = (x - x[0]) / (x[-1] - x[0])
        shapes += [t**power for power in POWERS]
        shapes += [0.5 - 0.5 * np.cos(np.pi * t)]
        for clock in (t, 1 - t[::-1]):
            flip = clock is not t
            for tau in np.geomspace(0.3 * max(clock[1], 1e-6), 2.0, NUM_TIME_CONSTANTS):
                for shape in (
                    -np.expm1(-clock / tau),
                    1 - 1 / (1 + clock / tau),
                    1 - (1 + clock / tau) ** -0.5,
                ):
                    done = shape / shape[-1]
                    if np.interp(0.1, done, np.arange(len(steps))) <= edge:
                        shapes.append(1 - done[::-1] if flip else done)
    kept = [shapes[0]]
    for shape in shapes[1:]:
        # Neighbours in the families above are often the same curve on this schedule.
        if min(float(np.abs(shape - other).max()) for other in kept) > SAME:
            kept.append(shape)
    return np.array(kept)
