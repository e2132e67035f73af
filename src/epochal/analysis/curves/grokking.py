"""Grokking as one event: memorisation, generalisation, the delay, the plateau, and what became of it all."""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike, NDArray

from epochal.analysis.curves.curve import Array, as_curve
from epochal.analysis.curves.detect import detect
from epochal.analysis.curves.first_passage import first_passage
from epochal.analysis.curves.plateau import LEAST_RECORDS, plateau
from epochal.analysis.runs.lag import lag
from epochal.core.values.errors import UserError
from epochal.core.values.event import Event
from epochal.core.values.learning import Estimate, Grokking, Learning

Mask = NDArray[np.bool_]

THRESHOLD = 0.9
MIN_RATIO = 2.0
SUSTAINED = 3
MIN_HEIGHT = 0.1
TAIL = 2.0  # widths after a midpoint by which a threshold that the transition leads to is passed


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is asked of each curve."""

    threshold: float
    level: float
    seed: int


def grokking(
    steps: ArrayLike,
    train: ArrayLike,
    val: ArrayLike,
    *,
    train_trials: float | None = None,
    val_trials: float | None = None,
    threshold: float = THRESHOLD,
    min_ratio: float = MIN_RATIO,
    diverged: bool = False,
    level: float = 0.05,
    seed: int = 0,
) -> Grokking:
    """What one network learnt and when, from its accuracy on the training and on the validation set.

    A curve is *learnt* from its first three records in a row at or above ``threshold`` on. The outcome is

    * ``learnt nothing``: neither curve is learnt; ``memorised only``: the training curve alone.
    * ``lost again``: validation was learnt, later fell below ``threshold`` - 0.1 for three records, and its
      last three records are below ``threshold``.
    * ``grokked``: validation was learnt later than training, with a delay whose interval excludes zero, at
      ``min_ratio`` times the step of memorisation or more.
    * ``learnt at once``: validation was learnt, and none of these. A network that is there within its first
      records belongs here.
    * ``diverged``: where ``diverged`` says so.

    ``memorisation`` and ``generalisation`` are the transitions (``detect`` for rises; for validation on the
    whole curve and on its part after memorisation, the higher one counts). Where a curve is learnt but no
    transition leads there, because too little was recorded before it, the records between which half of the
    way was made stand instead: interval-censored, or left-censored at the first record. A rise of validation
    that ends below ``threshold`` is a generalisation with a time, but does not change the outcome. NaN are
    records that were not measured.

    ``delay`` and ``ratio``: see ``lag.lag``. ``plateau``: validation from the end of memorisation to a width
    before generalisation; ``plateau.contains(1 / 97)`` asks whether it rests at chance,
    ``plateau.contains(ceiling)`` whether at that of a shortcut. Under no effect: ``learnt nothing``, no
    event but by false alarm.

    Raises:
        UserError: malformed curves, a threshold outside (0, 1), a ratio below 1.

    Operating characteristics: bench/results/calibration-grokking.md.
    """
    if not 0 < threshold < 1:
        raise UserError(f"threshold={threshold} must be an accuracy between 0 and 1")
    if not min_ratio >= 1:
        raise UserError(f"min_ratio={min_ratio} must be at least 1: generalisation over memorisation")
    rules = Rules(threshold=threshold, level=level, seed=seed)
    fitted = as_curve(steps, train, "accuracy")
    held = as_curve(steps, val, "accuracy")
    a, memorised = learnt(fitted.steps, fitted.values, train_trials, rules)
    b, generalised = learnt(
        held.steps, held.values, val_trials, rules, after=memorised.high if memorised.found else None
    )
    loss = lost(held.steps, held.values, generalised, threshold)
    delay, ratio = lag(a, b)
    inside = between(held.steps, b, memorised, generalised)
    outcome, reason = judged(
        a, b, memorised, generalised, loss, held.values, rules, at_least=min_ratio, diverged=diverged
    )
    return Grokking(
        outcome=outcome,
        reason=reason,
        memorisation=a,
        generalisation=b,
        loss=loss,
        delay=delay,
        ratio=ratio,
        plateau=clipped(plateau(held.values[inside], val_trials)),
        plateau_from=float(held.steps[inside][0]) if inside.any() else math.nan,
        plateau_to=float(held.steps[inside][-1]) if inside.any() else math.nan,
        plateau_records=int(inside.sum()),
    )


def learnt(
    steps: Float[Array, " T"],
    values: Float[Array, " T"],
    trials: float | None,
    rules: Rules,
    after: float | None = None,
) -> tuple[Event, Event]:
    """When a curve rose (the best answer there is), and its passage through the threshold."""
    passage = first_passage(steps, values, rules.threshold, sustained=min(SUSTAINED, len(steps)))
    rises = [risen(steps, values, trials, rules)]
    if after is not None and (late := steps >= after).sum() > 1:
        rises.append(risen(steps[late], values[late], trials, rules))
    if passage.found:
        rises = [rise for rise in rises if rise.found and leads_to(rise, passage)]
    if rises:
        return max(rises, key=lambda rise: rise.height if rise.found else 0.0), passage
    return halfway(steps, values, passage), passage


def halfway(steps: Float[Array, " T"], values: Float[Array, " T"], passage: Event) -> Event:
    """Between which records half of the way to the threshold was made, of a curve that began there."""
    first = int(np.searchsorted(steps, passage.high))
    if first == 0:
        return replace(passage, reason=f"{passage.reason}: learnt before anything was recorded")
    top = float(np.median(values[first : first + SUSTAINED]))
    half = first_passage(steps[: first + 1], values[: first + 1], (values[0] + top) / 2)
    why = f"half of a rise to {top:.3g} by step {half.high:g}, with too few records before for a fit"
    return replace(half, height=top - float(values[0]), reason=why)


def between(steps: Float[Array, " T"], b: Event, memorised: Event, generalised: Event) -> Bool[Mask, " T"]:
    """Records of validation after memorisation and before the rise, or after one that led nowhere."""
    none = np.zeros(len(steps), dtype=bool)
    if not memorised.found or (generalised.found and generalised.high <= memorised.high):
        return none
    after = steps >= memorised.high
    if not b.found:
        return after
    before = after & (steps <= (min(b.low, 2 * b.onset - b.step) if math.isfinite(b.onset) else b.low))
    if generalised.found or before.sum() >= LEAST_RECORDS:
        return before
    return after & (steps >= (max(b.high, 2 * b.end - b.step) if math.isfinite(b.end) else b.high))


def risen(steps: Float[Array, " T"], values: Float[Array, " T"], trials: float | None, rules: Rules) -> Event:
    return detect(
        steps,
        values,
        kind="accuracy",
        direction="rise",
        trials=trials,
        min_height=MIN_HEIGHT,
        level=rules.level,
        seed=rules.seed,
    )


def leads_to(rise: Event, passage: Event) -> bool:
    """Whether the threshold is passed during the transition or soon after it, and not before."""
    return min(rise.onset, rise.low) <= passage.high and passage.low <= rise.high + TAIL * (
        rise.end - rise.step
    )


def lost(
    steps: Float[Array, " T"], values: Float[Array, " T"], learnt_: Event, threshold: float
) -> Event | None:
    """The passage back, of a curve that ends below the threshold."""
    if not learnt_.found or (values[-SUSTAINED:] >= threshold).any():
        return None
    since = steps >= learnt_.high
    fall = first_passage(
        steps[since], values[since], threshold - MIN_HEIGHT, sustained=SUSTAINED, direction="fall"
    )
    return fall if fall.found else None


def clipped(level: Estimate) -> Estimate:
    """An accuracy lies in [0, 1]."""
    return replace(level, low=max(level.low, 0.0), high=min(level.high, 1.0)) if level.low <= 1 else level


def judged(
    a: Event,
    b: Event,
    memorised: Event,
    generalised: Event,
    loss: Event | None,
    held: Float[Array, " T"],
    rules: Rules,
    *,
    at_least: float,
    diverged: bool,
) -> tuple[Learning, str]:
    """The outcome and why."""
    line = f"{rules.threshold:g}"
    if diverged:
        seen = [what for what, e in (("memorised", memorised), ("generalised", generalised)) if e.found]
        return "diverged", f"after it had {' and '.join(seen)}" if seen else "before it learnt anything"
    if not generalised.found:
        end = float(np.median(held[-SUSTAINED:]))
        if memorised.found:
            return "memorised only", f"validation ends at {end:.3g}, below {line}"
        return "learnt nothing", f"neither curve stays at {line} for {SUSTAINED} records"
    if loss is not None:
        return "lost again", f"validation is below {line} again from step {loss.high:g} on"
    delay, ratio = lag(a, b)
    times = ratio.low if a.censored == "left" else ratio.value
    if memorised.found and delay.low > 0 and times >= at_least:
        return (
            "grokked",
            f"validation follows {delay.value:.0f} steps after training, {times:.3g} times as late",
        )
    if memorised.found and delay.low > 0:
        return "learnt at once", f"validation follows training at {times:.3g} times its step"
    return "learnt at once", "validation is learnt with training, as far as the records tell"
