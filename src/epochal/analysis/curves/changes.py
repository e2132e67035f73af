"""All changes of one curve: several transitions, excursions and oscillations, under one level."""

import itertools
import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epochal.analysis.curves.curve import Array, Curve, as_curve
from epochal.analysis.curves.detect import MIN_RECORDS, Sought, check, look
from epochal.analysis.curves.spikes import MIN_RETURN_RECORDS, single_spikes
from epochal.analysis.curves.wandering import drift_test, periodic_test, spike_threshold
from epochal.core.values.changes import Changes, Excursion, Shape
from epochal.core.values.event import Event

Mask = NDArray[np.bool_]

STEP_RECORDS = 3.0  # the width, in record intervals, up to which a transition is called a step
MANY = 3  # excursions, or returns of a transition, that make an oscillation
COMPARABLE = 0.5  # of the height of the largest: what counts as a return
MOST_EXCURSIONS = 30
TRANSITIONS, DRIFTS, PERIODS, SPIKES = 0.5, 0.2, 0.15, 0.15  # shares of the level


def detect_all(
    steps: ArrayLike,
    values: ArrayLike,
    *,
    kind: Literal["accuracy", "positive", "real"],
    trials: float | None = None,
    min_height: float | None = None,
    level: float = 0.05,
    seed: int = 0,
) -> Changes:
    """Every change of a curve, and its shape; arguments and units are those of ``detect``.

    The shape is the first of these that holds:

    1. ``oscillation``: at least three excursions, with three records between them (or of opposite signs); or
       at least four transitions up and down by turns, none below half of the highest; or no transition, and
       a period that noise of the same autocorrelation would not show.
    2. ``step`` or ``ramp``: a transition; a step up to three record intervals wide, else a ramp (the highest
       one decides).
    3. ``spike``: one or two excursions.
    4. ``drift``: a slow change over most of the records, at least ``min_height`` high, that noise would not
       show. An early transient is a drift.
    5. ``none``.

    Transitions are found one by one: the clearest of the whole curve at half of ``level``, then on either
    side of it (a width away) at half of that each, and so on. Segments that are tested side by side share the
    level of the segment they came from, so the probability of any false transition is at most ``level`` / 2
    (up to what is left of a transition beside it; see the table); drift, period and single records far off
    share the rest. An excursion that one transition would be mistaken for is taken out, and the same segment
    looked at again at the same level: only after a true one. Single records far off
    (``spikes.single_spikes``) are excursions where they are further off than noise like that of the curve
    would show. Under no effect the shape is ``none`` with probability at least 1 - ``level``.

    Raises:
        UserError: for malformed curves or options, in one line.

    Source: the sharing of the level is the inheritance of Meinshausen 2008, Biometrika 95, 265-278.
    Calibration: bench/results/calibration-transitions.md.
    """
    curve = as_curve(steps, values, kind)
    smallest, sign = check("either", trials, min_height, level, curve.kind)
    sought = Sought(sign=sign, trials=trials, min_height=smallest)
    generator = np.random.Generator(np.random.PCG64(seed))
    spikes, middle = single_spikes(curve.values)
    heights = curve.values - middle
    if spikes.any():
        smallest_spike = spike_threshold(
            curve.steps, np.where(spikes, middle, curve.values), level * SPIKES, generator
        )
        spikes &= np.abs(heights) > smallest_spike
    found = Found(events=[], excursions=single_excursions(curve, spikes, heights, smallest))
    rest = part(curve, ~spikes)
    search(rest, sought, level * TRANSITIONS, generator, found)
    events = in_context(rest, sought, found, generator)
    excursions = returns(curve, found.excursions)
    shape: Shape = "none"
    period, reason = math.nan, "no change beyond what noise would show"
    if len(excursions) >= MANY:
        shape, reason = "oscillation", f"{len(excursions)} excursions that return"
    elif (turns := num_turns(events)) >= MANY:
        shape, reason = "oscillation", f"{turns + 1} transitions up and down by turns"
    elif events:
        largest = max(events, key=lambda e: abs(e.height))
        shape, reason = lasting(curve, largest), largest.reason
        if len(events) > 1:
            reason = f"{len(events)} transitions, the highest {reason}"
    else:
        left = without(rest, found.excursions)
        period = periodic_test(left, smallest, level * PERIODS, generator)
        if math.isfinite(period):
            shape, reason = "oscillation", f"a period of {period:.6g} steps"
        elif excursions:
            shape, reason = "spike", f"{len(excursions)} excursion{'s' * (len(excursions) > 1)} that return"
        elif height := drift_test(left, smallest, level * DRIFTS, generator):
            shape, reason = "drift", f"a {'rise' if height > 0 else 'fall'} by {abs(height):.3g} in all"
    return Changes(shape=shape, events=events, excursions=excursions, period=period, reason=reason)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the search has found so far."""

    events: list[Event]
    excursions: list[Excursion]


def search(curve: Curve, sought: Sought, level: float, generator: np.random.Generator, found: Found) -> None:
    """The clearest transition, then what is on either side of it; excursions are taken out on the way."""
    while len(curve) >= MIN_RECORDS:
        answer = look(curve, sought, level, generator)
        if answer.stay is not None and len(found.excursions) < MOST_EXCURSIONS:
            first, last = answer.stay
            inside = (curve.steps >= first) & (curve.steps <= last)
            # The level it left: the records before and after, as many as it has.
            around = (
                np.convolve(inside, np.ones(2 * int(inside.sum()) + 1), mode="same").astype(bool) & ~inside
            )
            off = curve.values[inside] - np.median(curve.values[around])
            height = float(off[np.abs(off).argmax()])
            if abs(height) >= sought.min_height:
                found.excursions.append(Excursion(first=first, last=last, height=height))
            curve = part(curve, ~inside)
            continue
        event = answer.event
        if event.found:
            found.events.append(event)
            before, after = edges(event)
            search(part(curve, curve.steps < before), sought, level / 2, generator, found)
            search(part(curve, curve.steps > after), sought, level / 2, generator, found)
        return


def in_context(
    curve: Curve, sought: Sought, found: Found, generator: np.random.Generator
) -> tuple[Event, ...]:
    """The events in order, each fitted again between its neighbours, with the ``p`` it was found with."""
    events = sorted(found.events, key=lambda e: e.step)
    if len(events) < 2:
        return tuple(events)
    curve = without(curve, found.excursions)
    ends = [-math.inf, *(edges(e)[1] for e in events), math.inf]
    starts = [-math.inf, *(edges(e)[0] for e in events), math.inf]
    again = []
    for number, event in enumerate(events):
        inside = (curve.steps > ends[number]) & (curve.steps < starts[number + 2])
        segment = part(curve, inside | ((curve.steps >= event.low) & (curve.steps <= event.high)))
        new = look(segment, sought, 0.5, generator).event if len(segment) >= MIN_RECORDS else event
        same = new.found and new.height * event.height > 0 and new.low <= event.high and event.low <= new.high
        again.append(replace(new, p=event.p) if same else event)
    return tuple(again)


def edges(event: Event) -> tuple[float, float]:
    """Before and after all but 1% of a transition: a width on either side of it, and its interval."""
    return (
        min(event.low, 2 * event.onset - event.step),
        max(event.high, 2 * event.end - event.step),
    )


def single_excursions(curve: Curve, spikes: Mask, heights: Array, smallest: float) -> list[Excursion]:
    """Neighbouring records that are spikes, as one excursion each."""
    bounds = np.flatnonzero(np.diff(np.concatenate([[0], spikes.astype(np.int64), [0]])))
    excursions = []
    for first, end in zip(bounds[::2], bounds[1::2], strict=True):
        at = first + int(np.abs(heights[first:end]).argmax())
        if abs(heights[at]) >= smallest:
            excursions.append(
                Excursion(
                    first=float(curve.steps[first]),
                    last=float(curve.steps[end - 1]),
                    height=float(heights[at]),
                )
            )
    return excursions


def returns(curve: Curve, excursions: list[Excursion]) -> tuple[Excursion, ...]:
    """The excursions in order; those of one sign that have no return of three records between them are one.

    A spike that decays is found in parts: its top, and then what is left of it as a stay of its own.
    """
    merged: list[Excursion] = []
    for excursion in sorted(excursions, key=lambda e: e.first):
        before = merged[-1] if merged else None
        if before is not None and before.height * excursion.height > 0:
            between = (curve.steps > before.last) & (curve.steps < excursion.first)
            if between.sum() < MIN_RETURN_RECORDS:
                merged[-1] = Excursion(
                    first=before.first,
                    last=max(before.last, excursion.last),
                    height=max(before.height, excursion.height, key=abs),
                )
                continue
        merged.append(excursion)
    return tuple(merged)


def num_turns(events: tuple[Event, ...]) -> int:
    """How often transitions of comparable height change their sign."""
    if not events:
        return 0
    least = COMPARABLE * max(abs(e.height) for e in events)
    signs = [np.sign(e.height) for e in events if abs(e.height) >= least]
    return sum(a != b for a, b in itertools.pairwise(signs))


def lasting(curve: Curve, event: Event) -> Shape:
    """``step`` or ``ramp``, by its width in record intervals."""
    if event.censored == "interval":
        return "step"
    index = np.interp([event.onset, event.end], curve.steps, np.arange(len(curve)))
    return "step" if index[1] - index[0] <= STEP_RECORDS else "ramp"


def part(curve: Curve, which: Mask) -> Curve:
    return replace(curve, steps=curve.steps[which], values=curve.values[which], num_dropped=0)


def without(curve: Curve, excursions: list[Excursion]) -> Curve:
    keep = np.ones(len(curve), dtype=bool)
    for excursion in excursions:
        keep &= (curve.steps < excursion.first) | (curve.steps > excursion.last)
    return part(curve, keep)
