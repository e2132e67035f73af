"""What published code does to find a moment in a curve, under its own names, to be compared with.

None of them has an interval, a level or a way to say "not yet": bench/results/calibration-transitions.md has
their operating characteristics beside those of ``detect``. Use them to reproduce a number, not to make one.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Array = NDArray[np.float64]

CAUSALGROK_EARLIER_ROWS = 10
CAUSALGROK_FLAT_ROWS = 8
CAUSALGROK_FLAT = 0.01
CAUSALGROK_JUMP = 0.05
MIML_PERCENT = 99.0


def causalgrok_grokking_row(val_accuracy: Sequence[float] | Float[Array, " T"]) -> int | None:
    """CausalGrok's ``grokking_detected``: the first row that jumps after a plateau, None where none does.

    A row is a hit where at least ten rows precede it, eight or more of the last ten of them lie within .01 of
    the latest of them, and it is above ``best_val`` + .05, the best of all earlier rows. A rise that takes
    several records is never a hit, and one early spike raises ``best_val`` for good.
    """
    best_val = -np.inf
    for row, value in enumerate(val_accuracy):
        earlier = np.asarray(val_accuracy[max(row - CAUSALGROK_EARLIER_ROWS, 0) : row], dtype=np.float64)
        if row >= CAUSALGROK_EARLIER_ROWS:
            num_flat = int((np.abs(earlier - earlier[-1]) <= CAUSALGROK_FLAT).sum())
            if num_flat >= CAUSALGROK_FLAT_ROWS and value > best_val + CAUSALGROK_JUMP:
                return row
        best_val = max(best_val, float(value))
    return None


def causalgrok_irm_drop_row(irm_mean: Sequence[float] | Float[Array, " T"]) -> int:
    """CausalGrok's ``irm_drop_epoch``: the row after the largest change between neighbours, up or down.

    There is always one; on a curve with an initial transient it lies there. 0 where there is one row only.
    """
    changes = np.abs(np.diff(np.asarray(irm_mean, dtype=np.float64)))
    return int(changes.argmax()) + 1 if len(changes) else 0


def miml_steps_to_99(
    steps: Sequence[float] | Float[Array, " T"], percent: Sequence[float] | Float[Array, " T"]
) -> float:
    """MIML's ``draw_alpha_steps``: the first of two records in a row at 99% or more, else the last step.

    ``percent`` is an accuracy in [0, 100]. A run that never gets there is returned as one that got there at
    its last record.
    """
    reached = np.asarray(percent, dtype=np.float64) >= MIML_PERCENT
    both = np.flatnonzero(reached[:-1] & reached[1:])
    return float(steps[int(both[0])] if len(both) else steps[-1])
