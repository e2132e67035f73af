"""The study's claims on planted curves: shortcuts that are broken through, and some that are not."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from epochal.analysis import first_passage
from epochal.core.values.finding import Finding
from epochal.core.values.study_runs import ArmRuns, CurveOf, MemberRun, StudyRuns
from epochal.studies.causal_grokking import causal_grokking
from epochal.studies.causal_grokking.arms import ARMS, GRID, PENALTIES
from epochal.studies.causal_grokking.claims import (
    changed,
    coincide,
    gained,
    in_time,
    jumps,
    of_arm,
    rests,
    share,
)
from epochal.studies.causal_grokking.events import agreement
from epochal.studies.causal_grokking.figures import grid_figure, place_of
from epochal.studies.causal_grokking.tables import beside, every_arm

STEPS = np.arange(0, 2040, 40)
MEMORISED, RHO = 280, 0.8


def rise(at: float | None, low: float, high: float, width: float = 120.0) -> np.ndarray:
    """From low to high about ``at``; None: it stays low."""
    if at is None:
        return np.full(len(STEPS), low)
    share: np.ndarray = 1 / (1 + np.exp(-2 * math.log(9) * (STEPS - at) / width))
    return low + (high - low) * share


def member(
    role: str, seed: int, *, jump: float | None, drops: Mapping[str, float | None], reads: float = 0.02
) -> MemberRun:
    """Memorised at step 280; all changes before, which is no answer. Right on ``reads`` until ``jump``."""
    random = np.random.default_rng([seed, len(role)])

    def noise(sd: float) -> np.ndarray:
        return random.normal(0, sd, len(STEPS))

    conflicting = np.clip(rise(jump, reads, 0.9) + noise(0.01), 0, 1)
    aligned = np.clip(np.where(STEPS < 200, 0.1, 0.97) + noise(0.003), 0, 1)
    curves = {
        "train_accuracy": np.where(STEPS >= MEMORISED, 1.0, 0.5),
        "conflicting_accuracy": conflicting,
        "aligned_accuracy": aligned,
        "val_accuracy": RHO * aligned + (1 - RHO) * conflicting,
    }
    for name, column in PENALTIES.items():
        curves[column] = np.exp(-rise(drops.get(name), 0.0, 4.0) + noise(0.05) + 5.0 * (STEPS < 200))
    events = {"memorised": first_passage(STEPS, curves["train_accuracy"], 0.99)}
    of = {name: CurveOf(steps=STEPS.tolist(), values=values.tolist()) for name, values in curves.items()}
    return MemberRun(member_id=f"{role}{seed}", seed=seed, outcome="finished", curves=of, events=events)


def arm(
    role: str,
    times: Sequence[float | None],
    *,
    lags: Mapping[str, float | None] = {},
    reads: float = 0.02,
) -> ArmRuns:
    """A penalty drops ``lags`` steps after the jump; one that is not named does not drop."""
    return ArmRuns(
        role=role,
        runs=tuple(
            member(
                role, seed, jump=at, reads=reads,
                drops={} if at is None else {n: at + lag for n, lag in lags.items() if lag is not None},
            )
            for seed, at in enumerate(times)
        ),
    )  # fmt: skip


def study_runs(*arms: ArmRuns) -> StudyRuns:
    return StudyRuns(arms={one.role: one for one in arms}, margins=causal_grokking.margins)


TIMES = [700, 780, 860, 950, 1030, 1110]
BROKEN = arm("recipe", TIMES, lags={"train": None, "held_out": 10, "varying": 400, "placebo": None})
KEPT = arm("no_filter", [None] * 6)
RUNS = study_runs(BROKEN, KEPT)


def of(found: Sequence[Finding], words: str) -> list[Finding]:
    return [one for one in found if words in one.claim]


def test_a_penalty_that_drops_with_the_jump_is_told_from_one_that_comes_later_and_one_that_does_not() -> None:
    found = list(coincide(RUNS, "recipe", of_arm(RUNS, "recipe")))
    held, coupled = of(found, "held-out")
    assert held.verdict == "supported" and held.estimate == pytest.approx(10 / 40, abs=0.5)
    assert coupled.verdict == "supported" and coupled.estimate == 1
    (varying,) = of(found, "differ in the shortcut")
    assert varying.verdict == "refuted" and varying.estimate == pytest.approx(10, abs=1)
    same, together = of(found, "training environments")
    assert same.verdict != "supported" and together.verdict == "undecided"
    assert "the jump is in 6 of 6 networks, the drop in 0" in same.note + together.note


def test_no_jump_is_told_as_such_and_decides_nothing_about_lags() -> None:
    seen = of_arm(RUNS, "no_filter")
    none = jumps(RUNS, "no_filter", seen)
    assert none.verdict == "refuted" and none.note == "0 of 6"
    assert jumps(RUNS, "recipe", of_arm(RUNS, "recipe")).verdict == "supported"
    assert {one.verdict for one in coincide(RUNS, "no_filter", seen)} == {"undecided"}


@pytest.mark.parametrize(
    ("reads", "rest", "alone"), [(0.02, "supported", "supported"), (0.6, "refuted", "refuted")]
)
def test_where_validation_rests_and_what_is_read_there(reads: float, rest: str, alone: str) -> None:
    runs = study_runs(arm("recipe", TIMES, reads=reads))
    at, by = rests(runs, "recipe", of_arm(runs, "recipe"))
    assert (at.verdict, by.verdict) == (rest, alone)
    assert at.estimate == pytest.approx(0.97 * RHO + reads * (1 - RHO) - RHO, abs=0.01)
    assert by.estimate == pytest.approx(reads, abs=0.02)


def test_the_share_of_agreeing_cues_follows_from_the_accuracies() -> None:
    assert agreement(BROKEN.runs[0]) == pytest.approx(RHO)


def test_a_share_has_clopper_and_pearsons_interval() -> None:
    found = share(0, 6, 0.05, claim="c")
    assert found.low == 0 and found.high == pytest.approx(1 - 0.05 ** (1 / 6))
    assert found.verdict == "refuted" and share(6, 6, 0.05, claim="c").p == 0.5**6


def test_an_arm_that_never_breaks_through_comes_later_and_an_early_end_has_not() -> None:
    found = changed(RUNS, "no_filter")
    assert found.verdict == "supported" and found.estimate is not None and found.estimate > 0
    assert "6 of 6 under recipe, 0 of 6 under no_filter" in found.note
    assert in_time(RUNS).verdict == "refuted"
    early = StudyRuns(arms=RUNS.arms, margins={**RUNS.margins, "short": 0.45})
    assert in_time(early).note == "3 of 6", "those that jump before step 900"


def test_the_gain_of_an_objective_is_seed_by_seed() -> None:
    runs = study_runs(arm("erm", [None] * 6), arm("irm", [None] * 6, reads=0.3), arm("vrex", [None] * 6))
    assert gained(runs, "irm").estimate == pytest.approx(0.28, abs=0.02)
    assert gained(runs, "irm").verdict == "supported" and gained(runs, "vrex").verdict == "refuted"


def test_the_tables_say_what_both_detectors_say() -> None:
    arms = every_arm(RUNS).as_records()
    assert [row["jumps"] for row in arms] == ["6 of 6", "0 of 6"]
    assert arms[0]["agreement"] == RHO and arms[1]["at step"] is None
    rows = beside(RUNS).as_records()
    assert len(rows) == 12
    for row, at in zip(rows[:6], TIMES, strict=True):
        assert float(str(row["jump"]).split()[0]) == pytest.approx(at, abs=40)
        assert row["drop, training"] == "none" and row["its drop"] != "none", "it always finds one"
    # A rise over several records is none to its detector.
    assert {row["its grokking"] for row in rows} == {"none"}


def test_the_grid_shows_the_cells_that_there_are() -> None:
    cells = grid_figure(study_runs(KEPT, arm("rho90_noise10", TIMES))).tables["cells"]
    assert list(zip(cells["rho"], cells["noise"], strict=True)) == [("0.8", "0"), ("0.9", "0.1")]
    assert [round(float(str(value)), 1) for value in cells["value"]] == [0.0, 0.9]
    assert all(place_of(role) for role in GRID)


def test_arms_that_are_compared_differ_in_what_their_name_says_only() -> None:
    def settings(role: str, quick: bool) -> dict[str, object]:
        one = ARMS[role]
        return {**one.settings, **(one.quick if quick else {})}

    for quick in (False, True):
        recipe = settings("recipe", quick)
        for role, field in (
            ("no_filter", "grokfast"),
            ("usual_start", "init_scale"),
            ("less_decay", "weight_decay"),
        ):
            other = settings(role, quick)
            assert {n for n in {*recipe, *other} if recipe.get(n) != other.get(n)} == {field}
        erm = settings("erm", quick)
        for role in ("irm", "vrex", "group_dro"):
            other = settings(role, quick)
            changed_fields = {n for n in {*erm, *other} if erm.get(n) != other.get(n)}
            assert changed_fields <= {"objective", "penalty_weight", "penalty_anneal_steps"}
