"""The study's analysis on planted curves: what it supports, refutes and leaves open, and what it reads."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from epochal.core.values.figure import FigureSpec
from epochal.core.values.finding import Finding
from epochal.core.values.study_runs import ArmRuns, CurveOf, MemberRun, StudyRuns
from epochal.studies.residual_explosion import (
    PARTS,
    analyse,
    residual_explosion,
    slope_of_changes,
    trend,
    values_of,
)

EPOCHS = 11


def member(role: str, seed: int, norms: Sequence[float], gradients: Sequence[float]) -> MemberRun:
    """Two sites; the first stands still."""
    still = [1.0] * len(norms)
    given = {
        "hidden_norm.0": still, "hidden_norm.1": norms,
        "gradient_norm.0": still, "gradient_norm.1": gradients,
    }  # fmt: skip
    curves = {name: CurveOf(steps=range(len(norms)), values=list(v)) for name, v in given.items()}
    return MemberRun(member_id=f"{role}{seed}", seed=seed, outcome="finished", curves=curves, events={})


def planted(growth: Mapping[str, float], *, power: float = -1.0, wiggle: float = 0.0) -> StudyRuns:
    """Growth by factor from the first record to the last, the gradient a power of the norm; five seeds."""
    arms = {}
    for role in residual_explosion.arms:
        runs = []
        for seed in range(5):
            random = np.random.default_rng([seed, len(role)])
            total = np.log(growth.get(role, 2.0)) + 0.1 * random.standard_normal()
            rise = random.uniform(0.5, 1.5, EPOCHS - 1)
            logs = np.concatenate([[0.0], np.cumsum(rise)]) * total / rise.sum()
            logs[3] -= wiggle  # a fall on the way up
            # The power differs a little from seed to seed, as no t test knows what to do with equal numbers.
            own = power + 0.02 * random.standard_normal()
            runs.append(member(role, seed, np.exp(logs).tolist(), np.exp(own * logs).tolist()))
        arms[role] = ArmRuns(role=role, runs=tuple(runs))
    return StudyRuns(arms=arms, margins=residual_explosion.margins)


def findings(runs: StudyRuns) -> list[Finding]:
    return [made for made in analyse(runs) if isinstance(made, Finding)]


EXPLODES = {"dfa": 1e4, "no_decay": 1e4, "strong_decay": 50.0, "no_residual": 1e4, "plain": 5.0}


def test_planted_explosion_is_found_with_its_size_and_its_cause() -> None:
    grows, stays, collapses, together, *blamed = findings(planted(EXPLODES))
    assert grows.verdict == stays.verdict == collapses.verdict == "supported"
    assert grows.estimate == pytest.approx(1e4, rel=0.2)
    assert stays.estimate == pytest.approx(2.0, rel=0.2)
    assert collapses.estimate == pytest.approx(-1.0, abs=0.05)
    assert together.num_runs == 5
    verdicts = dict(zip(PARTS, (found.verdict for found in blamed), strict=True))
    assert verdicts == {
        "plain": "supported", "strong_decay": "supported", "no_decay": "refuted", "no_residual": "refuted",
    }  # fmt: skip
    assert blamed[0].estimate == pytest.approx(2000, rel=0.3)


def test_a_stream_that_grows_little_refutes_the_explosion_and_one_under_backprop_its_bound() -> None:
    grows, stays, *_ = findings(planted({"dfa": 5.0, "backprop": 1e3}))
    assert grows.verdict == stays.verdict == "refuted"


def test_growth_that_is_not_monotonic_in_every_seed_is_not_claimed() -> None:
    runs = planted(EXPLODES)
    dfa = list(runs["dfa"].runs)
    up = [1.0, 1e4] * 5 + [1e4]
    dfa[2] = member("dfa", 2, up, [1 / value for value in up])
    changed = StudyRuns(arms={**runs.arms, "dfa": ArmRuns(role="dfa", runs=tuple(dfa))}, margins=runs.margins)
    grows = findings(changed)[0]
    assert grows.verdict == "undecided"
    assert grows.p == pytest.approx(trend(np.array(up))[1])


def test_a_gradient_that_does_not_fall_with_the_norm_is_refuted_though_both_have_a_trend() -> None:
    # Both curves are monotonic, so a correlation of levels would be nearly -1; their changes are unrelated.
    runs = planted(EXPLODES)
    changed = []
    for run in runs["dfa"].runs:
        falls = np.random.default_rng(run.seed + 99).uniform(0.5, 1.5, EPOCHS - 1)
        gradients = np.exp(-np.concatenate([[0.0], np.cumsum(falls)]))
        norms = values_of(run, "hidden_norm")
        assert np.corrcoef(np.log(norms), np.log(gradients))[0, 1] < -0.95
        changed.append(member("dfa", run.seed, norms.tolist(), gradients.tolist()))
    arms = {**runs.arms, "dfa": ArmRuns(role="dfa", runs=tuple(changed))}
    collapses = findings(StudyRuns(arms=arms, margins=runs.margins))[2]
    assert collapses.verdict != "supported"


def test_the_slope_of_changes_is_the_power() -> None:
    norms = np.exp(np.array([0.0, 1.0, 1.5, 4.0]))
    assert slope_of_changes(norms, norms**-1.5) == pytest.approx(-1.5)
    assert slope_of_changes(norms, np.exp(-np.arange(4)) * norms**-1.5) == pytest.approx(-1.5)


def test_the_trend_of_a_curve_that_only_rises_has_p_1_over_the_number_of_orders() -> None:
    assert list(trend(np.array([1.0, 2.0, 5.0, 6.0]))) == pytest.approx([1.0, 1 / 24])


def test_what_is_not_finite_is_left_out() -> None:
    run = member("dfa", 0, [1.0, 4.0, np.inf, np.nan, 0.0], [1.0] * 5)
    assert values_of(run, "hidden_norm").tolist() == [1.0, 4.0]


def test_the_figure_shows_every_arm_over_time_and_over_sites() -> None:
    (figure,) = [made for made in analyse(planted(EXPLODES)) if isinstance(made, FigureSpec)]
    assert len(figure.panels) == 4
    over_time = figure.tables["norm_over_time"]
    assert set(over_time["arm"]) == set(residual_explosion.arms)
    last = [v for a, t, v in zip(*over_time.values(), strict=True) if (a, t) == ("dfa", EPOCHS - 1.0)]
    assert last[0] == pytest.approx(1e4, rel=0.3)
    assert set(figure.tables["gradient_over_sites"]["site"]) == {"0", "1"}
