"""What is claimed, each as a finding with an interval."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta as beta_law
from scipy.stats import binom

from epochal.analysis import compare_arms, coupling, same_time
from epochal.analysis.runs.mean_against import mean_beyond, mean_within, untested
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding, judged
from epochal.core.values.study_runs import ArmRuns, StudyRuns
from epochal.studies.causal_grokking.arms import CHANGES, PENALTIES
from epochal.studies.causal_grokking.events import (
    CONFLICTING,
    Moments,
    interval_of,
    moments,
    times,
)

Array = NDArray[np.float64]

SUBJECTS = ("recipe", "no_filter", "xrays")
"""Arms in which the published claim is looked for, where there are such."""
WORDS = {
    "train": "the penalty of training environments",
    "held_out": "the penalty of held-out environments",
    "varying": "the penalty of environments that differ in the shortcut",
    "placebo": "the penalty of random environments",
}
FEWEST = 3


def of_arm(runs: StudyRuns, role: str, columns: Sequence[str] = tuple(PENALTIES.values())) -> list[Moments]:
    """Jump, rest and the drops of these columns of every network of an arm."""
    return of_runs(runs, runs[role], columns)


def of_runs(runs: StudyRuns, arm: ArmRuns, columns: Sequence[str]) -> list[Moments]:
    """The same of runs that are no arm of the study, with its margins."""
    height, broken = runs.margin("height"), runs.margin("broken")
    return [moments(run, columns, height=height, broken=broken) for run in arm.runs]


def broken_in(runs: StudyRuns, role: str) -> Array:
    """``[S, 2]``: when the shortcut was broken through in each network, as (low, high)."""
    return times([one.broken for one in of_arm(runs, role, ())])


def findings(runs: StudyRuns) -> Iterator[Finding]:
    for role in subjects(runs):
        seen = of_arm(runs, role)
        yield jumps(runs, role, seen)
        yield from rests(runs, role, seen)
        yield from coincide(runs, role, seen)
    yield in_time(runs)
    for role in CHANGES:
        yield changed(runs, role)


def subjects(runs: StudyRuns) -> tuple[str, ...]:
    return tuple(role for role in SUBJECTS if role in runs.arms)


def jumps(runs: StudyRuns, role: str, seen: Sequence[Moments]) -> Finding:
    """The share of networks with a jump: more than half, by the exact binomial."""
    return runs.cited(
        share(
            sum(one.jump.found for one in seen),
            len(seen),
            runs.alpha,
            claim=f"under {role} validation accuracy jumps by {runs.margin('height'):g} after memorisation",
        ),
        role,
    )


def in_time(runs: StudyRuns) -> Finding:
    """Epochs are the fourth change; a shorter run is the beginning of the longer one."""
    arm, part = runs["recipe"], runs.margin("short")
    last = min(run.curves[CONFLICTING].steps[-1] for run in arm.runs)
    early = sum(high <= part * last for _, high in broken_in(runs, "recipe"))
    found = share(
        early,
        len(arm),
        runs.alpha,
        claim=f"under recipe the shortcut is broken through within the first {part:g} of training",
    )
    return runs.cited(found, "recipe")


def share(count: int, num: int, alpha: float, *, claim: str) -> Finding:
    """Exact: Clopper & Pearson's interval of level 1 - 2 alpha, and the binomial's tail at one half."""
    low = float(beta_law.ppf(alpha, count, num - count + 1)) if count else 0.0
    high = float(beta_law.ppf(1 - alpha, count + 1, num - count)) if count < num else 1.0
    p = float(binom.sf(count - 1, num, 0.5))
    return Finding(
        claim=claim,
        test="binomial, one-sided",
        estimate=count / num,
        unit="of the networks",
        low=low,
        high=high,
        level=1 - 2 * alpha,
        num_runs=num,
        null="in half of all networks or fewer",
        p=p,
        verdict=judged(p, alpha, is_refuted=high < 0.5),
        smallest_p=0.5**num,
        note=f"{count} of {num}",
    )


def rests(runs: StudyRuns, role: str, seen: Sequence[Moments]) -> Iterator[Finding]:
    """Where validation rests between memorisation and the jump, and what it reads there."""
    known = [one for one in seen if math.isfinite(one.rest.value)]
    off = np.array([one.rest.value - one.agreement for one in known])
    margin, most = runs.margin("rest"), runs.margin("alone")
    claim = f"under {role} validation rests at the share of agreeing cues before it jumps, within {margin:g}"
    alone = f"under {role} it is then right on fewer than {most:g} of the examples whose cue disagrees"
    if len(known) < FEWEST:
        for one in (claim, alone):
            yield runs.cited(
                untested(one, len(seen), f"{len(known)} of {len(seen)} networks rest for 3 records or more"),
                role,
            )
        return
    levels = ", ".join(f"{one.rest.value:.3f} [{one.rest.low:.3f}, {one.rest.high:.3f}]" for one in known)
    yield runs.cited(
        mean_within(
            off,
            margin,
            alpha=runs.alpha,
            claim=claim,
            note=f"to the end where it does not jump; per network {levels}; agreement "
            f"{min(o.agreement for o in known):.3f} to {max(o.agreement for o in known):.3f}",
            least_sd=1e-6,
        ),
        role,
    )
    yield runs.cited(
        mean_beyond(
            np.array([one.conflicting for one in known]),
            most,
            side="below",
            alpha=runs.alpha,
            claim=alone,
            null=f"{most:g} or more",
            test="t of the mean accuracy on conflicting examples",
            margin=most,
            note="a network that reads nothing but the cue is right on none of them",
            least_sd=1e-6,
        ),
        role,
    )


def coincide(runs: StudyRuns, role: str, seen: Sequence[Moments]) -> Iterator[Finding]:
    """Jump and drop within the margin of each other, and together across seeds.

    Where no network jumps nothing can coincide with that: one finding says so, with what the penalties did.
    """
    if not any(one.jump.found for one in seen):
        yield runs.cited(no_jump(role, seen), role)
        return
    interval = interval_of(runs[role])
    jump = times([one.jump for one in seen]) / interval
    for name, column in PENALTIES.items():
        drop = times([one.drops[column] for one in seen]) / interval
        names = (f"the jump of validation under {role}", f"the drop of {WORDS[name]}")
        counted = (
            f"the jump is in {sum(one.jump.found for one in seen)} of {len(seen)} networks, the drop in "
            f"{sum(one.drops[column].found for one in seen)}"
        )
        both = [one.jump.found and one.drops[column].found for one in seen]
        try:
            found = same_time(
                jump,
                drop,
                margin=runs.margin("records"),
                record_interval=1.0,
                names=names,
                unit="records",
                alpha=runs.alpha,
                exploratory=False,
            )
            found = replace(found, note="; ".join(filter(None, (counted, found.note))))
        except UserError:
            found = untested(f"{names[0]} and {names[1]} happen at the same time", len(seen), counted)
        yield runs.cited(found, role)
        if sum(both) < FEWEST:
            found = untested(f"{names[0]} and {names[1]} are coupled across runs", len(seen), counted)
        else:
            found = coupling(jump, drop, names=names, alpha=runs.alpha, exploratory=False)
        yield runs.cited(found, role)


def no_jump(role: str, seen: Sequence[Moments]) -> Finding:
    drops = ", ".join(
        f"{WORDS[name]} in {sum(one.drops[column].found for one in seen)}"
        for name, column in PENALTIES.items()
    )
    return untested(
        f"the jump of validation under {role} and the drop of any penalty happen at the same time",
        len(seen),
        f"no transition: validation jumps in none of {len(seen)} networks; after memorisation there drops "
        f"{drops}",
    )


def changed(runs: StudyRuns, role: str) -> Finding:
    """Whether the shortcut is broken through at another time without one of the recipe's changes."""
    one, other = runs["recipe"], runs[role]
    at = [broken_in(runs, name) for name in ("recipe", role)]
    horizon = float(min(run.curves[CONFLICTING].steps[-1] for arm in (one, other) for run in arm.runs))
    claim = f"the shortcut is broken through at another time under {role} than under recipe"
    try:
        found = compare_arms(
            *(np.array([high if high <= horizon else math.nan for _, high in known]) for known in at),
            horizon=horizon,
            seeds_1=one.seeds,
            seeds_2=other.seeds,
            names=("recipe", role),
            alpha=runs.alpha,
            exploratory=False,
        )
    except UserError as error:
        return runs.cited(untested(claim, len(other), str(error)), "recipe", role)
    counted = ", ".join(
        f"{sum(math.isfinite(high) for _, high in known)} of {len(known)} under {name}"
        for name, known in zip(("recipe", role), at, strict=True)
    )
    note = "; ".join(filter(None, (f"above 0: later under {role}; broken through in {counted}", found.note)))
    return runs.cited(replace(found, claim=claim, note=note), "recipe", role)
