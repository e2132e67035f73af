"""Looking again after adding runs: how much of the level each look may spend."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from epochal.analysis.runs.levels import check_level
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding, Verdict

Kind = Literal["obrien-fleming", "pocock"]
GRID = 601  # points between the bounds; the levels agree with published ones to 4 digits
FARTHEST = 8.5  # standard deviations


@dataclass(frozen=True, kw_only=True)
class Looks:
    """Declared looks: at ``runs[k]`` runs a one-sided p of at most ``level[k]`` is enough.

    ``spent[k]``: the chance, under the null, of having been convinced by then; ``spent[-1]`` is ``alpha``.
    """

    runs: tuple[int, ...]
    level: tuple[float, ...]
    spent: tuple[float, ...]
    alpha: float
    kind: Kind


def alpha_spending(runs: Sequence[int], *, alpha: float = 0.05, kind: Kind = "obrien-fleming") -> Looks:
    """The level of each look, so that all of them together reject a true null at most ``alpha`` of the time.

    ``runs``: how many runs there will be at each look, increasing, fixed beforehand. With t = runs / last
    runs: O'Brien-Fleming-type spends 2 - 2 Phi(z_(alpha / 2) / sqrt t) by t, next to nothing early and nearly
    alpha at the end; Pocock-type alpha log(1 + (e - 1) t), about evenly. Each look's level is what makes the
    chance of crossing there for the first time equal to what it may spend, the scores being a Brownian motion
    in t: right for sums over independent runs, and close for S, t and rank tests from 5 runs on (simulated:
    bench/results/calibration-looks.md). A level below the smallest attainable p of a permutation test
    cannot be reached, which only wastes it.

    Raises:
        UserError: for looks that do not increase, alpha outside (0, 0.5), an unknown kind.

    Source: Lan & DeMets 1983, Biometrika 70, 659-663; recursion of Armitage, McPherson & Rowe 1969.
    """
    check_level(alpha)
    if kind not in ("obrien-fleming", "pocock"):
        raise UserError(f"kind={kind!r} is not known: give 'obrien-fleming' or 'pocock'")
    if not runs or min(runs) < 1:
        raise UserError(f"runs={list(runs)} must be whole numbers of runs, at least one look")
    if any(later <= earlier for earlier, later in pairwise(runs)):
        raise UserError(f"runs={list(runs)} must increase from look to look: they are all runs so far")
    fractions = np.asarray(runs, dtype=np.float64) / runs[-1]
    if kind == "pocock":
        spent = alpha * np.log1p((math.e - 1) * fractions)
    else:
        spent = 2 * norm.sf(norm.isf(alpha / 2) / np.sqrt(fractions))
    bounds = crossing_bounds(fractions, np.diff(spent, prepend=0.0))
    return Looks(
        runs=tuple(int(n) for n in runs),
        level=tuple(float(norm.sf(bound)) for bound in bounds),
        spent=tuple(float(s) for s in spent),
        alpha=alpha,
        kind=kind,
    )


def at_look(finding: Finding, looks: Looks, *, runs: int | None = None) -> Finding:
    """The finding judged by its look: supported or refuted only at the level declared for so many runs.

    Supported needs p (adjusted where it is) at most the look's level. Refuted needs an interval that excludes
    the claim at the look's own level: one of at least 1 - 2 level. So a refutation has its own alpha to
    spend, as large as that of support; an interval made for a single look is too short for it, and leaves the
    finding undecided. Analyses give both what they need by ``alpha=runs.alpha``. ``runs`` (default: the
    finding's) picks the look. The note says which it was and what it could spend.

    Raises:
        UserError: if no look was declared at that number of runs, or the finding has no p.
    """
    count = finding.num_runs if runs is None else runs
    if count not in looks.runs:
        declared = ", ".join(str(n) for n in looks.runs)
        raise UserError(f"no look was declared at {count} runs, only at {declared}: add runs up to the next")
    if finding.p is None:
        raise UserError(f"{finding.claim}: a look needs a p-value, and this finding has none")
    number = looks.runs.index(count)
    level = looks.level[number]
    p = finding.p if finding.adjusted_p is None else finding.adjusted_p
    said = f"look {number + 1} of {len(looks.runs)}, p of at most {level:.2g} supports"
    if finding.smallest_p is not None and finding.smallest_p > level:
        said += ", which so few runs cannot give"
    verdict: Verdict = "supported" if finding.verdict == "supported" and p <= level else "undecided"
    if finding.verdict == "refuted":
        asked = 1 - 2 * level
        verdict = "refuted" if finding.level >= asked - 1e-9 else "undecided"
        if verdict == "undecided":
            said += (
                f"; the claim is outside the {100 * finding.level:.4g}% interval, but to refute it this look "
                f"asks for {100 * asked:.4g}% (alpha=runs.alpha in the analysis)"
            )
    note = f"{finding.note}; {said}" if finding.note else said
    return replace(finding, verdict=verdict, note=note)


def crossing_bounds(fractions: NDArray[np.float64], spend: NDArray[np.float64]) -> list[float]:
    """Upper bounds for the scores, one per look, each first crossed with probability ``spend``."""
    bounds: list[float] = []
    # Density of the motion (not the score) at the last look, on the paths that have not crossed.
    place: NDArray[np.float64] = np.zeros(1)
    weight: NDArray[np.float64] = np.ones(1)
    before = 0.0
    for fraction, share in zip(fractions, spend, strict=True):
        root, move = math.sqrt(fraction), math.sqrt(fraction - before)

        bound = FARTHEST
        if share > first_crossing(FARTHEST, place, weight, root, move):
            bound = float(
                brentq(
                    lambda b, *given: first_crossing(b, *given[1:]) - given[0],
                    -FARTHEST,
                    FARTHEST,
                    args=(share, place, weight, root, move),
                    xtol=1e-10,
                )
            )
        bounds.append(bound)
        grid = np.linspace(-FARTHEST * root, bound * root, GRID)
        density = norm.pdf((grid[:, None] - place) / move) @ weight / move
        simpson = np.ones(GRID)
        simpson[1:-1:2], simpson[2:-1:2] = 4, 2
        place, weight = grid, density * simpson * (grid[1] - grid[0]) / 3
        before = float(fraction)
    return bounds


def first_crossing(
    bound: float, place: NDArray[np.float64], weight: NDArray[np.float64], root: float, move: float
) -> float:
    return float(np.sum(weight * norm.sf((bound * root - place) / move)))
