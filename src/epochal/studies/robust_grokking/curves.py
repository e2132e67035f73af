"""What is read off a network's curves: when something saturates, and how something else rises after that."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epochal.core.values.errors import UserError
from epochal.core.values.study_runs import MemberRun

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Rise:
    """The rise of a curve from its lowest record after another curve saturated to its last record.

    Steps are (record before, record): the records say no more. A rise that is not shown is smaller than was
    declared; then there are no steps.
    """

    saturated: tuple[float, float]
    """Of the other curve; (last record, infinity) where it never did."""
    at_saturation: float
    lowest: float
    last: float
    is_shown: bool
    half: tuple[float, float]
    """Half of the way; (last record, infinity) where it is not shown."""
    onset: float = math.nan
    end: float = math.nan

    @property
    def height(self) -> float:
        return self.last - self.lowest


def rise_after(run: MemberRun, first: str, then: str, *, share: float, least: float) -> Rise:
    """``first`` saturates at the first record with ``share`` of its highest value; ``then`` rises after that.

    Raises:
        UserError: one of them was not recorded.
    """
    steps, values = curve(run, first)
    at = int(np.argmax(values >= share * values.max()))
    saturated = between(steps, at)
    steps, values = curve(run, then)
    after = steps >= saturated[1]
    known = (last := float(steps[-1]), math.inf)
    if not after.any():
        return Rise(saturated=saturated, at_saturation=math.nan, lowest=math.nan, last=math.nan,
                    is_shown=False, half=known)  # fmt: skip
    start = int(np.argmax(after))
    low = start + int(np.argmin(values[start:]))
    height = float(values[-1] - values[low])
    found = Rise(saturated=saturated, at_saturation=float(values[start]), lowest=float(values[low]),
                 last=float(values[-1]), is_shown=False, half=(last, math.inf))  # fmt: skip
    if height < least or low == len(values) - 1:
        return found
    places = [low + 1 + int(np.argmax(values[low + 1 :] >= values[low] + part * height)) for part in PARTS]
    return Rise(saturated=saturated, at_saturation=found.at_saturation, lowest=found.lowest, last=found.last,
                is_shown=True, half=between(steps, places[1]), onset=float(steps[places[0]]),
                end=float(steps[places[2]]))  # fmt: skip


PARTS = (0.1, 0.5, 0.9)


def between(steps: Array, place: int) -> tuple[float, float]:
    """The record before and this one."""
    return (float(steps[place - 1]) if place else 0.0, float(steps[place]))


def curve(run: MemberRun, column: str) -> tuple[Array, Array]:
    """Steps and values where it was measured and is finite.

    Raises:
        UserError: it was not recorded, or is nowhere finite.
    """
    if column not in run.curves:
        raise UserError(f"seed {run.seed} has no {column}: the study needs its probe")
    found = run.curves[column]
    steps, values = np.asarray(found.steps, np.float64), np.asarray(found.values, np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        raise UserError(f"seed {run.seed} has no finite value of {column}")
    return steps[finite], values[finite]


def has(run: MemberRun, *columns: str) -> bool:
    """Whether all were measured, finite somewhere."""
    return all(
        column in run.curves and np.isfinite(np.asarray(run.curves[column].values, np.float64)).any()
        for column in columns
    )
