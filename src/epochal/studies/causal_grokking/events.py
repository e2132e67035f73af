"""When validation jumps, when a penalty drops, and where validation rests before: after memorisation.

What a network does while it memorises is no answer to the question: its accuracy and its penalty both change
there, whatever it reads.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from epochal.analysis import detect
from epochal.analysis.curves.plateau import LEAST_RECORDS, plateau
from epochal.core.values.event import Event
from epochal.core.values.learning import NO_ESTIMATE, Estimate
from epochal.core.values.study_runs import ArmRuns, CurveOf, MemberRun

Array = NDArray[np.float64]

VAL, CONFLICTING, ALIGNED = "val_accuracy", "conflicting_accuracy", "aligned_accuracy"
MEMORISED = "memorised"


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Of one network, after memorisation, in completed updates; ``drops`` of penalties by column."""

    jump: Event
    """Of validation."""
    broken: Event
    """Of accuracy on examples whose cue disagrees: the shortcut is broken through."""
    drops: dict[str, Event]
    rest: Estimate
    """Validation from memorisation to the onset of the jump, or to the end where there is none."""
    agreement: float
    """Share of validation examples whose cue agrees with the target."""
    conflicting: float
    """Mean accuracy on the others while it rests."""
    gap: float
    """By how much it is right more often where the cue agrees than where it does not, at memorisation."""

    def learns_it_first(self, least: float) -> bool:
        """Whether it reads the shortcut before the core, by so much."""
        return self.gap >= least

    def gets_beyond(self, least: float) -> bool:
        """Whether it learns the shortcut first and breaks through it later."""
        return self.learns_it_first(least) and self.broken.found


def moments(run: MemberRun, columns: Sequence[str], *, height: float, broken: float) -> Moments:
    """``height``: what counts as a jump of validation, ``broken`` of accuracy on conflicting examples.

    Penalties are looked at on their logarithms.
    """
    start = memorised_at(run)
    jump = after(run.curves[VAL], start, kind="accuracy", height=height)
    drops = {name: after(run.curves[name], start, kind="positive") for name in columns}
    steps, values = arrays(run.curves[VAL])
    end = jump.onset if jump.found and math.isfinite(jump.onset) else math.inf
    if jump.found and not math.isfinite(jump.onset):
        end = jump.low
    rests = (steps >= start) & (steps <= end)
    conflicting, aligned = (arrays(run.curves[name])[1] for name in (CONFLICTING, ALIGNED))
    later = np.flatnonzero(steps >= start)
    return Moments(
        jump=jump,
        broken=after(run.curves[CONFLICTING], start, kind="accuracy", height=broken),
        drops=drops,
        rest=plateau(values[rests]) if rests.sum() >= LEAST_RECORDS else NO_ESTIMATE,
        agreement=agreement(run),
        conflicting=float(conflicting[rests].mean()) if rests.any() else math.nan,
        gap=float(aligned[later[0]] - conflicting[later[0]]) if later.size else math.nan,
    )


def memorised_at(run: MemberRun) -> float:
    """The first record at which it had memorised; infinite where it did not."""
    event = run.events[MEMORISED]
    return event.step if event.censored == "none" else event.high


def after(curve: CurveOf, start: float, *, kind: str, height: float | None = None) -> Event:
    """The transition of a curve from a step on: a rise of an accuracy, a fall of what is positive."""
    steps, values = arrays(curve)
    kept = steps >= start
    if kind == "positive":
        kept &= values > 0
    if not kept.any():
        return nothing(float(steps[-1]), "it did not memorise")
    return _detected(tuple(steps[kept]), tuple(values[kept]), kind, height)


@lru_cache(maxsize=1024)
def _detected(steps: tuple[float, ...], values: tuple[float, ...], kind: str, height: float | None) -> Event:
    """Kept: several claims ask of the same curve."""
    if kind == "accuracy":
        return detect(steps, values, kind="accuracy", direction="rise", min_height=height)
    return detect(steps, values, kind="positive", direction="fall")


def nothing(last: float, reason: str) -> Event:
    """Not by the last record."""
    nan = math.nan
    return Event(
        found=False, step=nan, low=last, high=math.inf, width=nan, onset=nan, end=nan, height=nan,
        censored="right", reason=reason, p=nan,
    )  # fmt: skip


def times(events: Sequence[Event]) -> Array:
    """``[S, 2]`` of (low, high) as `epochal.analysis` takes them; high is infinite where there is none."""
    rows = [(e.step, e.step) if e.censored == "none" else (e.low, e.high) for e in events]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def beginning(arm: ArmRuns, part: float, role: str) -> ArmRuns:
    """The first part of training of every run: with a constant rate that is what a shorter run would be."""
    return ArmRuns(role=role, runs=tuple(_beginning(run, part) for run in arm.runs))


def _beginning(run: MemberRun, part: float) -> MemberRun:
    last = part * max(run.curves[VAL].steps)
    curves = {}
    for name, curve in run.curves.items():
        kept = sum(step <= last for step in curve.steps)
        curves[name] = CurveOf(steps=curve.steps[:kept], values=curve.values[:kept])
    return replace(run, curves=curves)


def interval_of(arm: ArmRuns) -> float:
    """Steps between records."""
    return float(np.median(np.concatenate([np.diff(arrays(run.curves[VAL])[0]) for run in arm.runs])))


def agreement(run: MemberRun) -> float:
    """The share a with ``val = a aligned + (1 - a) conflicting``, from the record where they differ most."""
    val, aligned, conflicting = (arrays(run.curves[name])[1] for name in (VAL, ALIGNED, CONFLICTING))
    place = int(np.nanargmax(np.abs(aligned - conflicting)))
    return float((val[place] - conflicting[place]) / (aligned[place] - conflicting[place]))


def arrays(curve: CurveOf) -> tuple[Array, Array]:
    """Steps and values after the start: CausalGrok has no record before training."""
    steps, values = np.asarray(curve.steps, np.float64), np.asarray(curve.values, np.float64)
    return steps[steps > 0], values[steps > 0]
