"""One curve, checked and brought to the scale on which it is analysed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean

Array = NDArray[np.float64]
Kind = Literal["accuracy", "positive", "real"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Records of one quantity: ``steps`` strictly increasing and >= 0, ``values`` finite.

    ``values`` are logarithms for kind ``positive``. ``num_dropped`` counts the records that were NaN or
    infinite: not measured, or measured on a diverged network. They say nothing about the level of the curve
    and are left out wherever they stand; a curve that ends in them simply ends earlier.
    """

    steps: Float[Array, " T"]
    values: Float[Array, " T"]
    kind: Kind
    num_dropped: int

    def __len__(self) -> int:
        return len(self.steps)


def as_curve(steps: ArrayLike, values: ArrayLike, kind: str) -> Curve:
    """Check steps and values and drop what is not finite.

    Raises:
        UserError: unknown kind, unequal lengths, unsorted or negative steps, values outside the kind's range,
            nothing left.
    """
    if kind not in KINDS:
        raise UserError(f"kind={kind!r} is not known{did_you_mean(str(kind), KINDS)}")
    step = one_column(steps, "steps")
    value = one_column(values, "values")
    if len(step) != len(value):
        raise UserError(f"steps has {len(step)} entries and values has {len(value)}: give one value per step")
    if not len(step):
        raise UserError("the curve has no records: give at least one step and value")
    check_steps(step)
    measured = np.isfinite(value)
    num_dropped = int((~measured).sum())
    if num_dropped == len(step):
        raise UserError(f"none of the {len(step)} values is finite: nothing was measured")
    step, value = step[measured], value[measured]
    if kind == "accuracy":
        check_accuracy(step, value)
    if kind == "positive":
        if (bad := value <= 0).any():
            at = int(np.argmax(bad))
            raise UserError(
                f"kind='positive' works on logarithms, but the value at step {step[at]:g} is {value[at]:g}: "
                "use kind='real', or add a floor"
            )
        value = np.log(value)
    return Curve(steps=step, values=value, kind=cast(Kind, kind), num_dropped=num_dropped)


def one_column(given: ArrayLike, name: str) -> Float[Array, " T"]:
    """A float64 copy; null (None) becomes NaN, as in a table of records."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        given = [np.nan if entry is None else entry for entry in given]
    try:
        column = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{name} must be numbers, one per record") from None
    if column.ndim != 1:
        raise UserError(f"{name} has shape {column.shape}: give one curve, a flat list of numbers")
    return column


def check_steps(steps: Float[Array, " T"]) -> None:
    if not np.isfinite(steps).all():
        raise UserError("steps contain NaN or infinity: every record needs its step")
    if steps[0] < 0:
        raise UserError(f"steps start at {steps[0]:g}: a step counts completed updates and is at least 0")
    falls = np.diff(steps) <= 0
    if falls.any():
        at = int(np.argmax(falls))
        what = "repeats" if steps[at + 1] == steps[at] else "comes after"
        raise UserError(
            f"step {steps[at + 1]:g} {what} step {steps[at]:g}: sort the records by step, one each"
        )


def check_accuracy(steps: Float[Array, " T"], values: Float[Array, " T"]) -> None:
    outside = (values < 0) | (values > 1)
    if not outside.any():
        return
    at = int(np.argmax(outside))
    remedy = "use kind='real' or 'positive'"
    if values.min() >= 0 and values.max() <= 100:
        remedy = "did you mean percent? Then give values / 100"
    raise UserError(f"accuracy {values[at]:g} at step {steps[at]:g} is outside [0, 1]: {remedy}")
