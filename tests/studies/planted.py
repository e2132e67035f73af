"""Runs of arms whose event times are written down, and a level of noise that seeds share or not."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from epochal.analysis.curves.first_passage import passage
from epochal.core.values.event import Event
from epochal.core.values.study_runs import ArmRuns, MemberRun, StudyRuns

MARGINS = {"bend": 0.7, "exponent": 0.25}


def at(step: float, until: float = math.inf) -> Event:
    """A passage known to a step; not yet at ``until`` where it would be later."""
    return (
        passage(until, math.inf, math.nan, "right", "")
        if step > until
        else passage(step, step, 1, "none", "")
    )


def arm_of(
    role: str,
    events: Mapping[str, Sequence[Event]],
    outcomes: Sequence[str] | None = None,
    first_seed: int = 0,
) -> ArmRuns:
    num = len(next(iter(events.values())))
    return ArmRuns(
        role=role,
        runs=tuple(
            MemberRun(
                member_id=f"{role}-{number}",
                seed=first_seed + number,
                outcome=outcomes[number] if outcomes else "finished",
                curves={},
                events={name: listed[number] for name, listed in events.items()},
            )
            for number in range(num)
        ),
    )


def runs_of(*arms: ArmRuns) -> StudyRuns:
    return StudyRuns(arms={arm.role: arm for arm in arms}, margins=MARGINS)


def generalising(steps: Mapping[str, Sequence[float]], until: float = math.inf) -> StudyRuns:
    """Arms by the steps at which their runs generalise."""
    return runs_of(
        *(
            arm_of(role, {"generalised": [at(step, until) for step in listed]})
            for role, listed in steps.items()
        )
    )


def noise(seed: int, *shape: int, sd: float = 0.1) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).normal(0, sd, shape)
