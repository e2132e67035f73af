"""The study's claims on planted curves: shortcuts that are broken through, and some that are not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from epochal.analysis import first_passage
from epochal.core.values.finding import Finding
from epochal.core.values.study_runs import ArmRuns, CurveOf, MemberRun, StudyRuns
from epochal.studies.causal_grokking import causal_grokking
from epochal.studies.causal_grokking.about_the_jump import aligned_figures, lag_figure
from epochal.studies.causal_grokking.arms import ARMS, GRID, ON_XRAYS, OTHER, PENALTIES
from epochal.studies.causal_grokking.claims import (
    changed,
    coincide,
    findings,
    in_time,
    jumps,
    of_arm,
    rests,
    share,
)
from epochal.studies.causal_grokking.events import agreement, beginning
from epochal.studies.causal_grokking.examples import examples_figures
from epochal.studies.causal_grokking.figures import course_figure, grid_figure, place_of
from epochal.studies.causal_grokking.objectives import gained, objectives_table, of_objectives, retrained
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
    assert len(found) == 2 * len(PENALTIES), "each penalty has a lag and a coupling"
    assert held.verdict == "supported" and held.estimate == pytest.approx(10 / 40, abs=0.5)
    assert coupled.verdict == "supported" and coupled.estimate == 1
    varying, follows = of(found, "differ in the shortcut")
    assert varying.verdict == "refuted" and varying.estimate == pytest.approx(10, abs=1)
    assert follows.verdict == "supported", "later by as much in every network"
    assert of(found, "random environments")[1].verdict == "undecided"
    same, together = of(found, "training environments")
    assert same.verdict != "supported" and together.verdict == "undecided"
    assert "the jump is in 6 of 6 networks, the drop in 0" in same.note + together.note


def test_no_jump_is_told_as_such_and_decides_nothing_about_lags() -> None:
    seen = of_arm(RUNS, "no_filter")
    none = jumps(RUNS, "no_filter", seen)
    assert none.verdict == "refuted" and none.note == "0 of 6"
    assert jumps(RUNS, "recipe", of_arm(RUNS, "recipe")).verdict == "supported"
    (alone,) = coincide(RUNS, "no_filter", seen)
    assert alone.verdict == "undecided" and alone.p is None
    assert "validation jumps in none of 6 networks" in alone.note
    dropping = [member("no_filter", seed, jump=None, drops={"held_out": 900}) for seed in range(6)]
    fallen = ArmRuns(role="no_filter", runs=tuple(dropping))
    (alone,) = coincide(study_runs(fallen), "no_filter", of_arm(study_runs(fallen), "no_filter"))
    assert "training environments in 0, the penalty of held-out environments in 6" in alone.note


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
    irm, vrex = gained(runs, "irm", "erm"), gained(runs, "vrex", "erm")
    assert irm.estimate == pytest.approx(0.28, abs=0.02)
    assert (irm.verdict, vrex.verdict) == ("supported", "refuted")


def test_the_tables_say_what_both_detectors_say() -> None:
    arms = every_arm(RUNS).as_records()
    assert [row["arm"] for row in arms] == ["recipe", "recipe, first 0.1 of the epochs", "no_filter"]
    assert [row["jumps"] for row in arms] == ["6 of 6", "0 of 6", "0 of 6"]
    assert arms[0]["agreement"] == RHO and arms[2]["at step"] is None
    rows = beside(RUNS).as_records()
    assert len(rows) == 12
    for row, at in zip(rows[:6], TIMES, strict=True):
        assert float(str(row["jump"]).split()[0]) == pytest.approx(at, abs=40)
        assert row["drop, training"] == "none" and row["its drop"] != "none", "it always finds one"
    # A rise over several records is none to its detector.
    assert {row["its grokking"] for row in rows} == {"none"}


def test_the_grid_shows_the_cells_that_there_are() -> None:
    cells = grid_figure(study_runs(KEPT, arm("rho90_noise10", [*TIMES[:4], None, None]))).tables["cells"]
    assert list(zip(cells["rho"], cells["noise"], strict=True)) == [("0.8", "0"), ("0.9", "0.1")]
    assert [round(float(str(value)), 1) for value in cells["value"]] == [0.0, 0.9]
    assert list(cells["count"]) == ["0 of 6", "4 of 6"]
    assert all(place_of(role) for role in GRID)


ENDS = {"worst_group_accuracy": 0.3, "core_accuracy": 0.8}


def ending(role: str, seeds: int = 6, **ends: float) -> ArmRuns:
    """Networks that end with these values, seed s .01 s higher; of erm also with another read-out."""
    made = []
    for run in arm(role, [None] * seeds).runs:
        more = {
            name: CurveOf(steps=[0, 2000], values=[0.0, value + 0.01 * run.seed])
            for name, value in (ENDS | ends).items()
        }
        made.append(replace(run, curves={**run.curves, **more}))
    return ArmRuns(role=role, runs=tuple(made))


def test_a_retrained_last_layer_is_compared_with_the_trained_one_network_by_network() -> None:
    erm = ending("erm", dfr_accuracy=0.9, dfr_worst_group_accuracy=0.5)
    runs = study_runs(erm, ending("reweighted", worst_group_accuracy=0.42))
    better = retrained(runs, "erm")
    assert better.verdict == "supported" and better.estimate == pytest.approx(0.2)
    same = study_runs(ending("erm", dfr_worst_group_accuracy=0.3))
    assert retrained(same, "erm").verdict == "refuted"
    rows = objectives_table(runs).as_records()
    assert [row["arm"] for row in rows] == ["erm", "erm, last layer retrained", "reweighted"]
    # .025 is the mean of what the seeds add.
    assert [row["worst group"] for row in rows] == pytest.approx([0.325, 0.525, 0.445])
    gains = [row["worst group above usual"] for row in rows]
    assert [str(gain)[:6] for gain in gains] == ["None", "+0.200", "+0.120"]
    assert rows[1]["all"] == pytest.approx(0.925) and rows[1]["conflicting"] is None


def test_x_rays_are_compared_with_x_rays_and_left_out_where_they_are_not_there() -> None:
    rays = ending("xrays_erm", dfr_worst_group_accuracy=0.7), ending("xrays_reweighted")
    runs = study_runs(ending("erm", dfr_worst_group_accuracy=0.5), ending("irm"), *rays)
    claims = [one.claim for one in of_objectives(runs)]
    assert [claim.split()[0] for claim in claims[:2]] == ["irm", "xrays_reweighted"]
    assert "above xrays_erm" in claims[1] and "retrained xrays_erm" in claims[3] and len(claims) == 4
    assert objectives_table(runs).as_records()[4]["worst group above usual"] is not None
    usual = study_runs(BROKEN, KEPT, *(arm(role, [None] * 6) for role in ARMS if role in CHANGED))
    with_rays = StudyRuns(arms={**usual.arms, "xrays": arm("xrays", [None] * 6)}, margins=usual.margins)
    said = [[one for one in findings(runs) if "xrays" in one.claim] for runs in (usual, with_rays)]
    assert len(said[0]) == 0 and len(said[1]) == 1 + 2 + 1
    assert [len(course_figure(runs).panels) for runs in (usual, with_rays)] == [4, 6]


CHANGED = ("usual_start", "less_decay")


def test_a_shortcut_that_was_never_preferred_is_not_broken_through_later() -> None:
    runs = study_runs(arm("no_filter", TIMES, reads=0.6))
    for one in of_arm(runs, "no_filter"):
        assert one.gap == pytest.approx(0.97 - 0.6, abs=0.04)
        assert one.learns_it_first(0.2) and not one.learns_it_first(0.5)
        assert one.gets_beyond(0.2) and not one.gets_beyond(0.5)
    (row,) = every_arm(runs).as_records()
    assert (row["shortcut first"], row["broken through"]) == ("6 of 6", "6 of 6")
    (_, _, kept) = every_arm(RUNS).as_records()
    assert (kept["shortcut first"], kept["broken through"]) == ("6 of 6", "0 of 6")


def test_fewer_epochs_are_the_beginning_of_the_recipe() -> None:
    short = beginning(BROKEN, 0.4, "short")
    assert {run.curves["val_accuracy"].steps[-1] for run in short.runs} == {800}
    for run, whole in zip(short.runs, BROKEN.runs, strict=True):
        kept = len(run.curves["irm_mean"].steps)
        assert run.curves["irm_mean"].values == whole.curves["irm_mean"].values[:kept]
    late = arm("recipe", [500, 500, 500, 1500, 1500, 1500])
    runs = StudyRuns(arms={"recipe": late}, margins={**causal_grokking.margins, "short": 0.5})
    assert [row["jumps"] for row in every_arm(runs).as_records()] == ["6 of 6", "3 of 6"]


def test_curves_are_aligned_at_the_jump_and_only_of_networks_that_jump() -> None:
    (figure,) = aligned_figures(RUNS)
    assert [panel.title for panel in figure.panels] == ["recipe: 6 of 6 jump"] * 2
    table = figure.tables["accuracy_recipe_medians"]
    rows = zip(table["lag"], table["value"], table["what"], strict=True)
    at = {lag: value for lag, value, what in rows if what == "cue disagrees"}
    # Half way from .02 to .9 at the jump, and each side of it after the width of the rise.
    assert at[0] == pytest.approx(0.46, abs=0.15)
    assert at[-4] == pytest.approx(0.02, abs=0.05) and at[4] == pytest.approx(0.9, abs=0.05)
    assert list(aligned_figures(study_runs(KEPT))) == []


def test_lags_of_penalties_are_drawn_in_records_with_what_did_not_happen() -> None:
    figure = lag_figure(RUNS)
    assert [panel.title for panel in figure.panels] == ["recipe: 6 of 6 jump", "no_filter: 0 of 6 jump"]
    both, only = figure.tables["recipe_both"], figure.tables["recipe_jump_only"]
    lags = {
        what: [float(str(lag)) for lag, of in zip(both["lag"], both["what"], strict=True) if of == what]
        for what in ("held out", "held out, cue differs")
    }
    assert np.mean(lags["held out"]) == pytest.approx(10 / 40, abs=0.5)
    assert np.mean(lags["held out, cue differs"]) == pytest.approx(400 / 40, abs=1)
    assert set(only["what"]) == {"training", "random parts"}
    # How long each was followed after its jump: from step 700 to 2000 is 32.5 records.
    assert float(str(only["lag"][0])) == pytest.approx(32.5, abs=1)
    one = member("recipe", 1, jump=None, drops={"train": 1000.0})
    alone = study_runs(ArmRuns(role="recipe", runs=(one,)))
    table = lag_figure(alone).tables["recipe_drop_only"]
    assert table["what"] == ["training"] and float(str(table["lag"][0])) == pytest.approx(-25, abs=1)


def test_examples_are_of_a_network_that_breaks_through_before_and_after() -> None:
    steps = list(range(0, 2040, 200))
    places = {"image_shape": [1, 2, 2], "image_brightness": [0, 1, 0, 0], "image_facts": [3, 1, 1]}

    def pictured(run: MemberRun) -> MemberRun:
        columns: dict[str, list[float]] = {
            f"{name}.{k}": [value] * len(steps)
            for name, given in places.items()
            for k, value in enumerate(given)
        }
        columns |= {f"image_saliency.{k}": [step / 2000 * (k == 0) for step in steps] for k in range(4)}
        curves = {name: CurveOf(steps=steps, values=values) for name, values in columns.items()}
        fields = {"cue": "patch", "patch_size": 1, "patch_place": "top_left"}
        return replace(run, curves={**run.curves, **curves}, fields=fields)

    mixed = arm("recipe", [None, 1030, 700])
    runs = study_runs(ArmRuns(role="recipe", runs=tuple(pictured(run) for run in mixed.runs)))
    (figure,) = examples_figures(runs)
    assert figure.panels[0].title == "recipe, seed 1: breaks through the shortcut"
    said = list(figure.tables["recipe_words"]["text"])
    assert said == ["3, cue 1", "800: 1", "2,000: 1"], "step 1,000 is after its rise began"
    values = [float(str(value)) for value in figure.tables["recipe_cells"]["value"]]
    assert values == [0, 1, 0, 0, 0.4, 0, 0, 0, 1, 0, 0, 0]
    assert figure.tables["recipe_frames"]["right"] == [0.5] * 3
    kept = study_runs(ArmRuns(role="recipe", runs=(pictured(KEPT.runs[0]),)))
    (figure,) = examples_figures(kept)
    assert list(figure.tables["recipe_words"]["text"])[1] == "400: 1", "memorised at 280"
    assert list(examples_figures(RUNS)) == []


def differing(one: Mapping[str, object], other: Mapping[str, object]) -> set[str]:
    """Fields that shape training; what is watched does not."""
    return {
        name for name in {*one, *other} if one.get(name) != other.get(name) and not name.startswith("probe")
    }


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
            assert differing(recipe, other) == {field}
        erm = settings("erm", quick)
        for role in OTHER:
            assert differing(erm, settings(role, quick)) <= {
                "objective", "penalty_weight", "penalty_anneal_steps"
            }  # fmt: skip
    erm, reweighted = (settings(role, True) for role in ("xrays_erm", "xrays_reweighted"))
    assert differing(erm, reweighted) == {"objective"}
    assert differing(erm, settings("erm", True)) == {"data", "image_size", "width", "epochs"}
    for role in ON_XRAYS:
        assert ARMS[role].data and ARMS[role].form == "quick"
