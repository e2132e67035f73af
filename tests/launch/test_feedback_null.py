"""The study of alignment reads deep sites only, one number per seed, and takes no single network's word."""

import numpy as np
import pytest

from epochal.core.values.study_runs import ArmRuns, CurveOf, MemberRun, StudyRuns
from epochal.studies.feedback_null import analyse, deep, feedback_null


def member(role: str, seed: int, start: float, last: float) -> MemberRun:
    """The embedding's cosine is nearly 1 throughout: it must not count."""
    sites = {"credit_alignment.0": [0.9, 0.9]}
    sites |= {f"credit_alignment.{site}": [start, last + 0.01 * (site - 2)] for site in (1, 2, 3)}
    curves = {name: CurveOf(steps=[0, 10], values=values) for name, values in sites.items()}
    return MemberRun(member_id=f"{role}{seed}", seed=seed, outcome="finished", curves=curves, events={})


def planted(last: dict[str, float]) -> StudyRuns:
    arms = {}
    for role, mean in last.items():
        ends = mean + 0.02 * np.random.default_rng(0).standard_normal(8)
        runs = tuple(member(role, seed, 0.0, float(end)) for seed, end in enumerate(ends))
        arms[role] = ArmRuns(role=role, runs=runs)
    return StudyRuns(arms=arms, margins=feedback_null.margins)


def test_planted_alignment_is_found_and_its_absence_refuted() -> None:
    dfa, fa = analyse(planted({"dfa": 0.15, "fa": -0.05}))
    assert dfa.verdict == "supported" and dfa.estimate == pytest.approx(0.15, abs=0.02)
    assert dfa.p == pytest.approx(2 / 2**8) and dfa.num_runs == 8
    assert fa.verdict == "refuted"
    assert dfa.member_ids == tuple(f"dfa{seed}" for seed in range(8))
    assert "before training +0.0000" in dfa.note


def test_deep_sites_are_all_but_the_embedding() -> None:
    assert deep(member("dfa", 0, 0.0, 0.3), -1) == pytest.approx(0.3)
    assert deep(member("dfa", 0, 0.1, 0.3), 0) == pytest.approx(0.1)
