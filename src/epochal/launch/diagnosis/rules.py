"""Rules for what looks wrong in training: each with its threshold, told with the numbers that broke it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochal.analysis.curves.spikes import single_spikes

Array = NDArray[np.float64]
Row = Mapping[str, Any]

DEAD_FRACTION = 0.5
"""Of a layer's units that are never active."""

LINEAR_FRACTION = 0.9
"""Of a layer's units that are always active: the layer hardly bends."""

SITE_RATIO = 1e3
"""Between the largest and the smallest gradient, or activation, of the sites of one network."""

GROWTH = 1e2
"""Of the gradient norm over the run."""

WEIGHT_GROWTH = 10.0
SPIKE_RATIO = 1.5
RISE_RATIO = 2.0
SMALLEST_LOSS = 1e-3
"""In nat: a loss that rises from 1e-8 to 1e-6 is no trouble."""

COLLAPSED_FRACTION = 0.5
NEGATIVE_RATIO = 0.2
"""Of the largest eigenvalue of the Hessian, by size."""

NOISE_RATIO = 10.0
"""Of the gradient noise scale to the batch size."""

BARRIER = 0.1
"""In nat above the higher one of the losses of two snapshots."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One rule that was broken: by which member, where, what was seen, what the threshold is."""

    member: int
    step: int | None
    rule: str
    seen: str
    threshold: str


@dataclass(frozen=True, kw_only=True)
class Signs:
    """What the rules look at, of one member; measures by ascending step."""

    member: int
    outcome: str
    outcome_reason: str
    batch_size: object
    learning_rate: float
    optimizer: str
    loss_steps: NDArray[Any]
    losses: Array
    measures: Sequence[Row]
    layers: Sequence[Row]
    section: Sequence[Row]


Told = tuple[int | None, str, str]
"""At which step, what was seen, the threshold."""


def findings_of(signs: Signs) -> list[Finding]:
    """Every rule that is broken, in the order of `RULES`."""
    return [
        Finding(member=signs.member, step=step, rule=name, seen=seen, threshold=threshold)
        for name, rule in RULES.items()
        for step, seen, threshold in rule(signs)
    ]


def diverged(signs: Signs) -> Iterator[Told]:
    if signs.outcome == "diverged":
        yield None, signs.outcome_reason or "a loss or an update was not finite", "finite numbers"


def spikes(signs: Signs) -> Iterator[Told]:
    if len(signs.losses) < 8 or not np.isfinite(signs.losses).all() or (signs.losses <= 0).any():
        return
    is_spike, middle = single_spikes(np.log(signs.losses))
    above = is_spike & (np.log(signs.losses) - middle > math.log(SPIKE_RATIO))
    above &= signs.losses > SMALLEST_LOSS
    if above.any():
        place = int(np.argmax(np.where(above, np.log(signs.losses) - middle, -np.inf)))
        times = math.exp(float(np.log(signs.losses[place]) - middle[place]))
        yield (
            int(signs.loss_steps[place]),
            f"training loss {times:.2g} times its surroundings, {int(above.sum())} such records",
            f"{SPIKE_RATIO:g} times the running median of 7 and 8 usual deviations",
        )


def rises(signs: Signs) -> Iterator[Told]:
    if len(signs.losses) < 2 or not np.isfinite(signs.losses).all():
        return
    least, last = float(signs.losses.min()), float(signs.losses[-1])
    if last > RISE_RATIO * max(least, SMALLEST_LOSS):
        yield (
            int(signs.loss_steps[-1]),
            f"training loss ends at {last:.3g}, its least was {least:.3g}",
            f"{RISE_RATIO:g} times its least value",
        )


def growing_gradient(signs: Signs) -> Iterator[Told]:
    norms = _series(signs, "gradient_norm")
    if len(norms) > 1 and norms[0][1] > 0:
        step, most = max(norms, key=lambda one: one[1])
        if most > GROWTH * norms[0][1]:
            yield step, f"gradient norm {most:.3g}, {norms[0][1]:.3g} at first", f"{GROWTH:g} times the first"


def growing_weights(signs: Signs) -> Iterator[Told]:
    norms = _series(signs, "weight_norm")
    if len(norms) > 1 and norms[0][1] > 0 and norms[-1][1] > WEIGHT_GROWTH * norms[0][1]:
        yield (
            norms[-1][0],
            f"weight norm {norms[-1][1]:.3g}, {norms[0][1]:.3g} at first",
            f"{WEIGHT_GROWTH:g} times the first",
        )


def uneven(measure: str, *, backward: bool) -> Callable[[Signs], Iterator[Told]]:
    """Gradients (on their way back) or activations that vanish or explode between the sites."""

    def rule(signs: Signs) -> Iterator[Told]:
        for step, sites in _by_step(signs, measure).items():
            low, high = min(sites, key=sites.__getitem__), max(sites, key=sites.__getitem__)
            if sites[high] > SITE_RATIO * sites[low]:
                order = list(sites)
                is_growing = (order.index(low) < order.index(high)) != backward
                what = "gradients" if backward else "activations"
                ends = f"{sites[low]:.3g} at {low}, {sites[high]:.3g} at {high}"
                seen = f"{what} {'explode' if is_growing else 'vanish'}: {ends}"
                yield step, seen, f"a ratio of {SITE_RATIO:g} between sites"
                return

    return rule


def share(measure: str, limit: float, word: str) -> Callable[[Signs], Iterator[Told]]:
    """The last snapshot's layers of which more than a share is dead, or always active."""

    def rule(signs: Signs) -> Iterator[Told]:
        found = _by_step(signs, measure)
        if found:
            step = max(found)
            for layer, value in found[step].items():
                if value > limit:
                    yield step, f"{value:.0%} of the units of {layer} are {word}", f"{limit:.0%} of a layer"

    return rule


def collapsed(signs: Signs) -> Iterator[Told]:
    for step, value in _series(signs, "train_softmax_collapse"):
        if value > COLLAPSED_FRACTION:
            seen = f"{value:.0%} of the examples have probability exactly 1 in this number format"
            yield step, seen, f"{COLLAPSED_FRACTION:.0%} of the examples"
            return


def negative_curvature(signs: Signs) -> Iterator[Told]:
    lowest = dict(_series(signs, "smallest_eigenvalue"))
    # At the start a network may well sit on a saddle.
    for step, highest in reversed(_series(signs, "top_eigenvalue")):
        if step and lowest.get(step, 0.0) < -NEGATIVE_RATIO * abs(highest):
            seen = f"eigenvalues of the Hessian from {lowest[step]:.3g} to {highest:.3g}"
            yield step, seen, f"smallest below -{NEGATIVE_RATIO:g} times the largest"
            return


def sharp(signs: Signs) -> Iterator[Told]:
    """Only of gradient descent itself: other optimisers precondition, and then 2 / rate says nothing."""
    if signs.optimizer != "sgd" or signs.learning_rate <= 0:
        return
    limit = 2 / signs.learning_rate
    above = [(step, value) for step, value in _series(signs, "top_eigenvalue") if value > limit]
    if above:
        step, value = above[-1]
        yield step, f"top eigenvalue {value:.3g}", f"2 / learning_rate = {limit:.3g}: steps overshoot"


def noisy(signs: Signs) -> Iterator[Told]:
    size = signs.batch_size
    scales = _series(signs, "gradient_noise_scale", finite=False)
    if isinstance(size, int) and scales:
        step, scale = scales[-1]
        if scale > NOISE_RATIO * size:
            seen = f"gradient noise scale {scale:.3g} with batches of {size}"
            yield step, seen, f"{NOISE_RATIO:g} times the batch size: batches see little but noise"


def barrier(signs: Signs) -> Iterator[Told]:
    segments: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for row in signs.section:
        segments.setdefault((row["from_step"], row["to_step"]), []).append(
            (row["fraction"], row["train_loss"])
        )
    worst: tuple[float, int, int] | None = None
    for (first, last), points in segments.items():
        height = max(value for _, value in points) - max(points[0][1], points[-1][1])
        if height > BARRIER and (worst is None or height > worst[0]):
            worst = (height, first, last)
    if worst:
        seen = (
            f"the loss between the snapshots of steps {worst[1]} and {worst[2]} is {worst[0]:.3g} nat higher"
        )
        yield worst[2], seen, f"{BARRIER:g} nat above both of its ends"


RULES: Mapping[str, Callable[[Signs], Iterator[Told]]] = {
    "divergence": diverged,
    "loss spike": spikes,
    "loss rises": rises,
    "gradient grows": growing_gradient,
    "weights grow": growing_weights,
    "gradients of sites": uneven("gradient_norm", backward=True),
    "activations of sites": uneven("activation_scale", backward=False),
    "dead units": share("dead_units", DEAD_FRACTION, "dead"),
    "linear units": share("always_active_units", LINEAR_FRACTION, "always active"),
    "softmax collapse": collapsed,
    "negative curvature": negative_curvature,
    "edge of stability": sharp,
    "gradient noise": noisy,
    "barrier": barrier,
}


def _series(signs: Signs, column: str, *, finite: bool = True) -> list[tuple[int, float]]:
    found = [(int(row["step"]), float(row[column])) for row in signs.measures if row.get(column) is not None]
    return [
        (step, value)
        for step, value in found
        if not math.isnan(value) and (not finite or math.isfinite(value))
    ]


def _by_step(signs: Signs, measure: str) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    for row in signs.layers:
        if row["measure"] == measure and math.isfinite(row["value"]):
            found.setdefault(row["step"], {})[row["layer"]] = row["value"]
    return found
