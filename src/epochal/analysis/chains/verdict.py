"""Whether chains have settled, from the numbers that tell: of an estimate, and of a row in a table."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HIGHEST_RHAT = 1.05
HIGHEST_BLOCK_RHAT = 1.1
"""Four chains of 1,000 independent draws stay below 1.035 in 99 of 100 cases."""

FEWEST_DRAWS = 20
FEWEST_PER_CHAIN = 25
HIGHEST_DRIFT = 3.0
LARGEST_CHANGE = 0.05
"""Of the estimate between half of the draws and all of them, where it is also more than two standard
errors."""

LOWEST_ACCEPTANCE = 0.2
"""Of the Metropolis step; .57 mixes fastest in many dimensions, and far below it chains stand still."""

LARGEST_STEP_BIAS = 0.1
"""Of the estimate, by steps that are not corrected: with more it is none, unless its error hides them."""

HIDDEN = 0.5
"""Standard errors up to which what steps add is hidden: of a coefficient near 0 every share is large."""

SIGNS = ("chains", "diverged", "stuck", "block_rhat", "drift", "half")
"""Columns ``llc_...`` of a table besides value, error, R-hat and effective draws."""


@dataclass(frozen=True, kw_only=True)
class Signs:
    """What a verdict is made of. NaN is not known, of which nothing is said."""

    value: float
    standard_error: float
    sampling_error: float
    """Without that of the baseline, which half of the draws share."""

    rhat: float
    ess: float
    block_rhat: float = math.nan
    """R-hat of means of blocks."""

    drift: float = math.nan
    """The second half of the draws less the first, in standard errors."""

    half: float = math.nan
    """What the first half of the draws say."""

    chains: float = math.nan
    """That were sampled."""

    diverged: float = 0.0
    """How many of them did."""

    stuck: float = 0.0
    """How many of the others have one loss in all of their draws."""

    step_bias: float | None = None
    """A share of the value; None where the sampler does not tell, not finite where it cannot be told."""

    step_excess: float = math.nan
    """The same as a number, where it is known."""

    acceptance: float | None = None
    """Mean probability, of samplers that accept or reject."""


def reasons_of(signs: Signs) -> list[str]:
    """Why this is no estimate; none where nothing speaks against it."""
    if not math.isfinite(signs.value):
        return ["every chain diverged"] if signs.diverged > 0 else ["the loss is not finite"]
    sound, found = signs.chains - signs.diverged, []
    if signs.diverged > 0:
        found.append(f"{signs.diverged:.0f} of {signs.chains:.0f} chains diverged")
    found += _of_acceptance(signs.acceptance)
    if signs.stuck > 0:
        found.append(
            f"{signs.stuck:.0f} of {sound:.0f} chains have one loss in all draws: they never moved, or the "
            "loss does not depend on what moves"
        )
    if signs.stuck >= sound:
        return found
    return found + _of_mixing(signs, sound) + _of_size(signs)


def _of_mixing(signs: Signs, sound: float) -> list[str]:
    if math.isnan(signs.rhat):
        return [f"fewer than {FEWEST_DRAWS} draws are too few to tell"]
    found = []
    if sound < 2:
        found.append("one chain cannot disagree with itself: take at least 2")
    if signs.rhat > HIGHEST_RHAT:
        found.append(f"R-hat {signs.rhat:.3f} is above {HIGHEST_RHAT}: chains disagree")
    if signs.block_rhat > HIGHEST_BLOCK_RHAT:
        found.append(
            f"R-hat of block means {signs.block_rhat:.2f} is above {HIGHEST_BLOCK_RHAT}: slow modes disagree"
        )
    if signs.ess < FEWEST_PER_CHAIN * sound:
        found.append(
            f"{signs.ess:.0f} effective draws are fewer than {FEWEST_PER_CHAIN} per chain: sample longer"
        )
    if abs(signs.drift) > HIGHEST_DRIFT:
        found.append(f"still drifting: the second half lies {signs.drift:+.1f} standard errors off the first")
    if abs(signs.value - signs.half) > max(LARGEST_CHANGE * abs(signs.value), 2 * signs.sampling_error):
        found.append(f"twice the draws change it from {signs.half:.4g} to {signs.value:.4g}: sample longer")
    return found


def _of_size(signs: Signs) -> list[str]:
    """Of the value itself, and of what steps add to it."""
    if is_negative(signs.value, signs.standard_error):
        return [f"negative, {signs.value:.3g}: w* is no minimum of this loss near it; train longer"]
    return [] if signs.step_excess <= HIDDEN * signs.standard_error else _of_bias(signs.step_bias)


def reasons_of_step(step_bias: float | None, acceptance: float | None) -> list[str]:
    """Those of the reasons that a shorter step mends, and more draws do not."""
    return _of_acceptance(acceptance) + _of_bias(step_bias)


def _of_acceptance(acceptance: float | None) -> list[str]:
    if acceptance is None or not acceptance < LOWEST_ACCEPTANCE:
        return []
    return [f"acceptance {acceptance:.2g} is below {LOWEST_ACCEPTANCE}: take a smaller step_size"]


def _of_bias(bias: float | None) -> list[str]:
    if bias is None or bias <= LARGEST_STEP_BIAS:
        return []
    said = f"its steps make it up to {bias:.0%} too high"
    if not math.isfinite(bias):
        said = "how much too high its steps make it cannot be told"
    return [f"{said}: take a smaller step_size, or sampler=mala"]


def is_negative(value: float, standard_error: float) -> bool:
    """By more than two standard errors: w* is no minimum, and steps have no part in it."""
    return value < -2 * standard_error


def reasons_of_row(row: Mapping[str, Any]) -> list[str]:
    """Why a row of the probe ``llc`` is no estimate, from its columns; ``llc_equilibrated`` decides.

    Tables of earlier versions have fewer columns: what they lack cannot be named.
    """
    if row["llc_equilibrated"] == 1:
        return []

    def number(name: str, missing: float = math.nan) -> float:
        value = row.get(name)
        return missing if value is None else float(value)

    def known(name: str) -> float | None:
        return None if row.get(name) is None else float(row[name])

    error = number("llc_standard_error")
    acceptance = known("llc_acceptance")
    return reasons_of(
        Signs(
            value=number("llc"), standard_error=error, sampling_error=error, rhat=number("llc_rhat"),
            ess=number("llc_ess"), block_rhat=number("llc_block_rhat"), drift=number("llc_drift"),
            half=number("llc_half"), chains=number("llc_chains"), diverged=number("llc_diverged", 0.0),
            stuck=number("llc_stuck", 0.0), step_bias=known("llc_step_bias"), acceptance=acceptance,
        )
    )  # fmt: skip
