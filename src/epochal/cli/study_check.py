"""What every study must pass: it resolves in both forms, and its analysis stands whatever the runs do."""

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from epochal.api import runs_folder
from epochal.check.case import Outcome, outcome
from epochal.core.values.study_runs import ArmRuns, CurveOf, MemberRun, StudyRuns
from epochal.launch.studies.conduct import judged
from epochal.launch.studies.plan import StudyPlan
from epochal.launch.studies.resolve import resolve
from epochal.launch.studies.runs import detected
from epochal.studies import Found

MAX_STEPS = 1000
NUM_RECORDS = 60
TRIALS = 1000
Fate = Callable[[int], str]
"""What becomes of the run with this number: it ``changes``, ``stays`` as it is, or ``diverges``."""

FATES: Mapping[str, Fate] = {
    "everything happens in every run": lambda _: "changes",
    "nothing happens in any run": lambda _: "stays",
    "some runs diverge": lambda run: ("changes", "diverges")[run % 2],
    "every run diverges": lambda _: "diverges",
}


def check_study(found: Found) -> list[Outcome]:
    """The outcome of every check; nothing is trained."""
    checks = [outcome("the full form resolves, with networks of its own", lambda: _resolves(found, False))]
    checks.append(outcome("the quick form resolves and is another one", lambda: _resolves(found, True)))
    if any(one.problem for one in checks):
        return checks
    plan = resolve(found, runs=runs_folder(None))
    for name, fate in FATES.items():
        checks.append(outcome(f"analyse finds something to say where {name}", partial(_analyses, plan, fate)))
    return checks


def synthetic_runs(plan: StudyPlan, fate: Fate) -> StudyRuns:
    """Every run of the plan with made-up curves: a change at a step of its own in every column."""
    study = plan.study
    arms: dict[str, list[MemberRun]] = {role: [] for role in study.arms}
    for batch in plan.batches:
        for spec, member_id in zip(batch.request.members, batch.request.member_ids, strict=True):
            seed = getattr(spec, batch.request.varied[0] if batch.request.varied else "seed")
            becomes = fate(len(arms[batch.role]))
            generator = np.random.Generator(np.random.PCG64([seed, len(arms[batch.role])]))
            curves = {
                detector.column: _curve(becomes, generator, is_loss="loss" in detector.column)
                for detector in study.detectors.values()
            }
            events = {
                name: detected(name, detector, curves[detector.column], TRIALS)
                for name, detector in study.detectors.items()
                if detector.reads(batch.role)
            }
            arms[batch.role].append(
                MemberRun(
                    member_id=member_id,
                    seed=seed,
                    outcome="diverged" if becomes == "diverges" else "finished",
                    curves=curves,
                    events=events,
                )
            )
    return StudyRuns(
        arms={role: ArmRuns(role=role, runs=tuple(runs)) for role, runs in arms.items()},
        margins=dict(study.margins),
    )


def _resolves(found: Found, is_quick: bool) -> None:
    plan = resolve(found, is_quick=is_quick, runs=runs_folder(None))
    if is_quick and not any(arm.quick or arm.form == "quick" for arm in found.study.arms.values()):
        raise AssertionError("no arm has a quick form: give quick={'seed': '50:53', 'max_steps': 200}")
    assert plan.batches


def _analyses(plan: StudyPlan, fate: Fate) -> None:
    judged(plan, synthetic_runs(plan, fate), plan.num_looks)


def _curve(becomes: str, generator: np.random.Generator, *, is_loss: bool) -> CurveOf:
    """A logistic rise from 0.1 to 1, or a fall of a loss, at a random step, with binomial noise."""
    steps = np.linspace(0, MAX_STEPS, NUM_RECORDS).astype(int)
    middle = generator.uniform(0.2, 0.6) * MAX_STEPS
    height = 0.9 if becomes == "changes" else 0.0
    mean = 0.1 + height / (1 + np.exp(-(steps - middle) / (0.02 * MAX_STEPS)))
    values = generator.binomial(TRIALS, np.clip(mean, 0, 1)) / TRIALS
    if is_loss:
        values = 1.01 - values
    if becomes == "diverges":
        return CurveOf(steps=steps[:3].tolist(), values=[*values[:2].tolist(), math.nan])
    return CurveOf(steps=steps.tolist(), values=values.tolist())
