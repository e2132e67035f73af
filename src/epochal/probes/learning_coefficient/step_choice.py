"""Which of the steps that calibration tried is taken: accepted, unbiased and on the plateau."""

import math
from typing import Any

from epochal.analysis.chains.verdict import is_negative

ACCEPTANCE = 0.9
AIM = 0.7
"""Of the tolerance: where a bias in proportion to the step should end when it is shortened."""

SHORTEST_SHARE = 1 / 16
"""Of a step, in one shortening: what chains say that have not settled may be far off."""


def chosen_step(
    accepted: list[dict[str, float]], column: list[dict[str, Any]], *, tolerance: float, is_exact: bool
) -> tuple[float, list[str]]:
    """The longest step of those from long to short that is accepted, whose bias is tolerated, and that is on
    the plateau; and why. Where none is, the longest accepted one if all estimates are negative, which no
    shorter step mends; else a shorter one than all of them: final chains say whether it will do.
    """
    why, biases, negative = [], [], []
    for place, (row, cell) in enumerate(zip(accepted, column, strict=True)):
        step, rate, bias = row["step_size"], row["acceptance"], cell["step_bias"]
        says = f"step_size {step:.3g}: MALA accepts {rate:.2f}"
        if bias is not None:
            biases.append(bias)
            says += f", chains are {bias:.1%} too high for its length"
        if rate < ACCEPTANCE:
            why.append(f"{says}: accepted less than {ACCEPTANCE}")
            continue
        if cell["llc"] is None or cell.get("ran_away"):
            why.append(f"{says}: chains {'diverged' if cell['llc'] is None else 'ran away from w*'}")
            continue
        if bias is not None and bias > tolerance:
            why.append(f"{says}: more than {tolerance:.1%}")
            continue
        if is_negative(cell["llc"], cell["standard_error"]):
            why.append(f"{says}, but the estimate is negative, {cell['llc']:.4g}: no plateau")
            negative.append(step)
            continue
        shorter = column[place + 1] if place + 1 < len(column) else None
        if shorter is None or shorter["llc"] is None or shorter.get("ran_away"):
            why.append(f"{says}; the shortest that was tried")
            return step, why
        change = abs(cell["llc"] - shorter["llc"])
        error = 2 * math.hypot(cell["standard_error"], shorter["standard_error"])
        # A bias in proportion to the step is twice the change to half of it.
        allowed = max(abs(cell["llc"]) * tolerance / 2, error)
        half = f"{shorter['llc']:.4g} with half of it (+- {error / 2:.2g})"
        both = f"the estimate is {cell['llc']:.4g}, and {half}"
        if is_exact or change <= allowed:
            why.append(f"{says}; {both}: a plateau")
            return step, why
        why.append(f"{says}, but {both}: no plateau")
    if negative:
        why.append(f"no shorter step mends a negative estimate: {negative[0]:.3g} is taken")
        return negative[0], why
    last, least = accepted[-1]["step_size"], biases[-1] if biases else math.nan
    share = share_for(least, tolerance) if least > tolerance else 0.5
    why.append(f"no step of these will do: {share:.2g} of the shortest is taken, {share * last:.3g}")
    return share * last, why


def share_for(bias: float, tolerance: float) -> float:
    """Of a step with this bias: where a bias in proportion to the step is well within the tolerance."""
    return max(SHORTEST_SHARE, min(AIM * tolerance / bias, 0.5))
