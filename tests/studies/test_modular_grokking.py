"""The study of modular addition: planted laws are found, nulls are not, arms differ as they are said to."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from epochal.cli.study_check import check_study
from epochal.core.values.figure import FigureSpec
from epochal.core.values.finding import Finding
from epochal.core.values.result_table import ResultTable
from epochal.core.values.study_runs import CurveOf, StudyRuns
from epochal.launch.studies.resolve import resolve
from epochal.studies import find
from epochal.studies.modular_grokking import analyse
from epochal.studies.modular_grokking.accelerators import compared
from epochal.studies.modular_grokking.against_published import against_published
from epochal.studies.modular_grokking.arms import (
    ARMS,
    COMPARISONS,
    RATE,
    WITHOUT_DECAY,
    Comparison,
)
from epochal.studies.modular_grokking.figures import accelerator_figure
from epochal.studies.modular_grokking.laws import bends, falls_with_data, is_log_linear, scales_with_decay
from epochal.studies.modular_grokking.measures import course, led
from epochal.studies.modular_grokking.published import ROWS
from tests.studies.planted import arm_of, at, generalising, noise, runs_of

FRACTIONS = {"a": 0.4, "b": 0.5, "c": 0.6, "d": 0.7}
DECAYS = {"a": 0.5, "b": 1.0, "c": 2.0, "d": 4.0}
PAIR = (Comparison(accelerator="X", treated="fast", control="slow", matched="all"),)


def data_law(seed: int, slope: float, num: int = 6) -> StudyRuns:
    e = noise(seed, 4, num)
    return generalising(
        {r: np.exp(9 + slope * f + e[i]).tolist() for i, (r, f) in enumerate(FRACTIONS.items())}
    )


def decay_law(
    seed: int, exponent: float, until: float = math.inf, sd: float = 0.1, num: int = 8
) -> StudyRuns:
    e = noise(seed, 4, num, sd=sd)
    steps = {r: (1000 * w**exponent * np.exp(e[i])).tolist() for i, (r, w) in enumerate(DECAYS.items())}
    return generalising(steps, until)


def test_the_slope_on_data_is_that_of_least_squares_and_in_percent_per_point() -> None:
    found = falls_with_data(data_law(0, -5.5), FRACTIONS)
    x = np.repeat(list(FRACTIONS.values()), 6)
    y = np.concatenate([9 - 5.5 * f + noise(0, 4, 6)[i] for i, f in enumerate(FRACTIONS.values())])
    assert found.estimate == pytest.approx(np.polyfit(x, y, 1)[0], rel=1e-4)
    assert found.verdict == "supported"
    assert found.num_runs == 6
    assert falls_with_data(data_law(0, 5.5), FRACTIONS).verdict == "refuted"


def test_steps_that_do_not_depend_on_data_are_seldom_said_to_fall() -> None:
    claimed = sum(
        falls_with_data(data_law(seed, 0.0), FRACTIONS).verdict == "supported" for seed in range(20)
    )
    assert claimed <= 4  # of 20 at .05: more has a chance of .003


def test_runs_that_do_not_generalise_are_kept_as_later_ones() -> None:
    cut = decay_law(1, -1.0, until=1000, sd=0.3, num=30)
    found = scales_with_decay(cut, DECAYS)
    assert found.estimate == pytest.approx(-1, abs=0.08)  # twice its standard error
    assert "which had not generalised by their last record and count as later" in found.note
    # The same runs without the censored ones: bent towards 0.
    kept = {
        role: [high for _, high in cut[role].times("generalised") if math.isfinite(high)] for role in DECAYS
    }
    x = np.concatenate([[math.log(DECAYS[role])] * len(steps) for role, steps in kept.items()])
    y = np.log(np.concatenate(list(kept.values())))
    assert np.polyfit(x, y, 1)[0] > -0.85


@pytest.mark.parametrize(
    ("exponent", "verdict"), [(-1.0, "supported"), (-0.5, "refuted"), (-1.5, "refuted"), (0.0, "refuted")]
)
def test_the_exponent_of_decay(exponent: float, verdict: str) -> None:
    found = scales_with_decay(decay_law(2, exponent), DECAYS)
    assert found.estimate == pytest.approx(exponent, abs=0.05)
    assert found.verdict == verdict
    assert found.margin == 0.25


def test_an_exponent_at_its_margin_is_seldom_said_to_be_within() -> None:
    claimed = sum(scales_with_decay(decay_law(s, -0.75), DECAYS).verdict == "supported" for s in range(20))
    assert claimed <= 4


def test_too_few_events_leave_a_law_undecided_and_say_why() -> None:
    found = scales_with_decay(decay_law(0, -1.0, until=1), DECAYS)
    assert (found.verdict, found.estimate, found.p) == ("undecided", None, None)
    assert "0 events are too few for an exponent" in found.note


def test_the_bend_is_exact_where_times_are_and_open_where_they_are_not() -> None:
    linear = generalising({"a": [math.exp(9)] * 3, "b": [math.exp(8)] * 3, "d": [math.exp(6)] * 3})
    assert np.array(bends(linear, ("a", "b", "d"), FRACTIONS)) == pytest.approx(0.0, abs=1e-12)
    bent = generalising({"a": [math.exp(9)] * 3, "b": [math.exp(9.5)] * 3, "d": [math.exp(6)] * 3})
    assert np.array(bends(bent, ("a", "b", "d"), FRACTIONS)) == pytest.approx(1.5)
    cut = generalising({"a": [5000.0] * 3, "b": [400.0] * 3, "d": [90.0] * 3}, until=1000)
    for low, high in bends(cut, ("a", "b", "d"), FRACTIONS):
        assert low == -math.inf
        assert high == pytest.approx(math.log(400) - (2 / 3 * math.log(1000) + 1 / 3 * math.log(90)))


def test_a_line_is_supported_and_a_bend_refuted() -> None:
    assert is_log_linear(data_law(3, -5.5), FRACTIONS).verdict == "supported"
    e = noise(4, 4, 6)
    steps = {r: np.exp(9 - 5.5 * f + e[i] + 2.0 * (r in "bc")) for i, (r, f) in enumerate(FRACTIONS.items())}
    assert (
        is_log_linear(generalising({r: s.tolist() for r, s in steps.items()}), FRACTIONS).verdict == "refuted"
    )


def arms_of(fast: list[float], slow: list[float], until: float = 1000) -> StudyRuns:
    return generalising({"fast": fast, "slow": slow}, until)


def test_an_accelerator_saves_the_steps_it_saves_and_one_that_does_nothing_none() -> None:
    slow = (600 + 50 * noise(5, 8, sd=1)).tolist()
    [found] = compared(arms_of([step - 200 for step in slow], slow), PAIR)
    assert found.estimate == pytest.approx(200)
    assert (found.verdict, found.p, found.adjusted_p) == ("supported", 2 / 2**8, 2 / 2**8)
    claimed = 0
    for seed in range(20):
        fast, slow = (600 + 50 * noise(seed, 2, 8, sd=1)).tolist()
        claimed += compared(arms_of(fast, slow), PAIR)[0].verdict == "supported"
    assert claimed <= 4


def test_accelerators_are_corrected_together() -> None:
    slow = (600 + 50 * noise(5, 8, sd=1)).tolist()
    fast = [step - 200 for step in slow]
    five = tuple(Comparison(accelerator="X", treated=f"t{i}", control="slow", matched="") for i in range(5))
    runs = generalising({"slow": slow, **{f"t{i}": fast for i in range(5)}}, 1000)
    assert {found.adjusted_p for found in compared(runs, five)} == {5 * 2 / 2**8}


def test_a_control_that_never_generalises_counts_up_to_the_last_step_of_both() -> None:
    [found] = compared(arms_of([300.0 + i for i in range(8)], [5000.0] * 8), PAIR)
    assert found.estimate == pytest.approx(1000 - 303.5)
    assert found.verdict == "supported"
    diverged = runs_of(
        arm_of("fast", {"generalised": [at(300.0)] * 8}),
        arm_of("slow", {"generalised": [at(9e9, 20)] * 8}, ["diverged"] * 8),
    )
    [found] = compared(diverged, PAIR)
    assert found.verdict == "undecided" or found.estimate == 0  # at step 300 all had been seen
    nothing = compared(arms_of([5000.0] * 8, [5000.0] * 8), PAIR)[0]
    assert (nothing.verdict, nothing.p) == ("undecided", None)


@pytest.mark.parametrize(
    ("fast", "slow", "said"),
    [
        ([300.0] * 8, [5000.0] * 8, "at least so many steps earlier"),
        ([300.0] * 8, [900.0] * 7 + [5000.0], "at least so many steps earlier"),
        ([5000.0] * 8, [300.0] * 8, "at most so many steps earlier"),
        ([300.0] * 7 + [5000.0], [5000.0] * 8, "what did not counts as then, in both"),
        ([300.0] * 8, [600.0] * 8, "8 of 8 networks generalise, 8 of 8 of the control, by step 600"),
    ],
)
def test_what_did_not_generalise_bounds_the_estimate_and_the_note_says_so(
    fast: list[float], slow: list[float], said: str
) -> None:
    assert compared(arms_of(fast, slow), PAIR)[0].note.endswith(said)


def test_without_decay_is_a_family_of_its_own() -> None:
    slow, never = (600 + 50 * noise(5, 8, sd=1)).tolist(), [5000.0] * 8
    fast = [step - 200 for step in slow]
    steps = {"small": slow, "small_undecayed": never, "small_undecayed_orthogonal": fast}
    for role in ("grokfast", "rate", "orthogonal", "stablemax", "muon"):
        steps[f"small_{role}"] = slow
    steps["small_undecayed_stablemax"] = never
    runs = generalising(steps, 1000)
    found = [*compared(runs, COMPARISONS), *compared(runs, WITHOUT_DECAY)]
    *_, orthogonal, stablemax = found
    assert len(found) == 7 and orthogonal.verdict == "supported"
    # A comparison in which nothing happened has no p, so that Holm corrects for one.
    assert (orthogonal.p, orthogonal.adjusted_p) == (2 / 2**8, 2 / 2**8)
    assert orthogonal.estimate == pytest.approx(1000 - np.mean(fast))
    assert (stablemax.verdict, stablemax.p) == ("undecided", None)
    assert "in no run of either arm by step 1000" in stablemax.note
    for one in (*COMPARISONS, *WITHOUT_DECAY):
        for role in (one.treated, one.control):
            has_none = ARMS[role].settings.get("weight_decay") == 0.0
            assert has_none == (one in WITHOUT_DECAY)


def test_every_arm_of_the_figure_of_accelerators_has_a_row_of_its_own() -> None:
    roles = [role for role, arm in ARMS.items() if arm.form == "quick"]
    runs = generalising({role: [300.0, 400.0] for role in roles})
    spec = accelerator_figure(runs, (*COMPARISONS, *WITHOUT_DECAY))
    shown = {role for one in (*COMPARISONS, *WITHOUT_DECAY) for role in (one.treated, one.control)} & {*roles}
    assert len(spec.panels[0].y.order) == len({*spec.panels[0].y.order}) == len(shown)


def measured(ahead: float, seed: int = 0, late: float = 0) -> StudyRuns:
    """Restricted loss ``ahead`` of validation loss, itself 100 before accuracy; the rest later.

    Restricted loss ends ``late``. Memorised at step 100, where accuracy has jumped to 0.5 already.
    """
    middle, e = 1000 + noise(seed, 8, sd=100), noise(seed + 1, 4, 8, sd=5)
    steps = np.arange(0, 2000, 2)

    def gone(offset: float, row: int, late: float = 0) -> list[np.ndarray]:
        at = middle + offset + e[row]
        return [np.interp(steps, [m - 60, m, m + 60 + late], [0, 0.5, 1]) for m in at]

    curves = {
        "val_accuracy": [0.5 * (steps >= 60) + 0.5 * x for x in gone(0, 0)],
        "val_loss": [np.exp(2 - 6 * x) for x in gone(-100, 1)],
        "restricted_loss": [np.exp(1 - 8 * x) for x in gone(-100 - ahead, 2, late)],
        "excluded_loss": [np.exp(x) for x in gone(0, 3)],
        "embedding_gini": [0.1 + 0.4 * x for x in gone(200, 3)],
    }
    events = {"memorised": [at(100.0)] * 8, "generalised": [at(float(m) + 60) for m in middle]}
    small = arm_of("small", events)
    runs = tuple(
        replace(
            run,
            curves={
                name: CurveOf(steps=steps.tolist(), values=of[i].tolist()) for name, of in curves.items()
            },
        )
        for i, run in enumerate(small.runs)
    )
    return runs_of(replace(small, runs=runs))


def test_a_measure_leads_only_where_it_is_before_the_placebo_too() -> None:
    restricted, excluded, gini = led(measured(80))
    assert (restricted.verdict, restricted.p, restricted.adjusted_p) == ("supported", 1 / 2**8, 3 / 2**8)
    assert restricted.estimate == pytest.approx(180, abs=8)
    assert excluded.verdict != "supported"
    assert gini.verdict == "refuted"
    assert sum(led(measured(0, seed))[0].verdict == "supported" for seed in range(10)) <= 1


def test_a_measure_that_begins_earlier_and_ends_later_does_not_lead() -> None:
    assert led(measured(80, late=500))[0].verdict == "refuted"


def test_the_way_begins_at_memorisation() -> None:
    arm = measured(80)["small"]
    accuracy = course(arm, "val_accuracy")
    expected = 1000 + noise(0, 8, sd=100) + noise(1, 4, 8, sd=5)[0]
    for part, offset in (("onset", -48), ("midpoint", 0), ("end", 48)):
        assert getattr(accuracy, part) == pytest.approx(expected + offset, abs=2)  # a record


def test_measures_of_runs_that_never_generalise_leave_it_undecided() -> None:
    small = measured(80)["small"]
    events = {"memorised": at(100.0), "generalised": at(9e9, 2000)}
    never = tuple(replace(run, events=events) for run in small.runs)
    assert {found.verdict for found in led(runs_of(replace(small, runs=never)))} == {"undecided"}


def row(runs: StudyRuns, what: str) -> dict[str, Any]:
    [found] = [one for one in against_published(runs).as_records() if what in str(one["what"])]
    return found


@pytest.mark.parametrize(
    ("steps", "ours", "verdict"),
    [
        ([5_000, 5_600, 9_000], "5,600", "agrees"),
        ([5_000, 5_400, 9_000], "5,400", "differs"),
        ([15_000, 21_000, 22_000], "21,000", "agrees"),
        ([15_000, 22_500, 22_600], "22,500", "differs"),
        ([5_600, 30_000, 30_000], "not by step 25,000", "differs"),
    ],
)
def test_a_row_agrees_within_a_factor_of_two_of_the_published_step(
    steps: list[float], ours: str, verdict: str
) -> None:
    found = row(generalising({"miml_decay_03": steps}, until=25_000), "50%, decay 0.3")
    assert (found["published"], found["ours"], found["verdict"]) == ("10,951", ours, verdict)


def test_what_should_never_happen_differs_where_one_run_does() -> None:
    for steps, verdict in (([9e9] * 3, "agrees"), ([9e9, 9e9, 15_000.0], "differs")):
        runs = runs_of(arm_of("miml_sgd", {"memorised": [at(step, 20_000) for step in steps]}))
        assert row(runs, "SGD, L2 0.1")["verdict"] == verdict


def test_the_quick_form_says_which_rows_it_does_not_cover() -> None:
    table = against_published(generalising({"small": [400.0] * 6}))
    assert [one["verdict"] for one in table.as_records()].count("not covered") == len(ROWS)
    assert f"{len(ROWS)} of {len(ROWS) + 2} rows are not covered" in table.note


def test_the_study_resolves_in_both_forms_and_stands_whatever_its_runs_do() -> None:
    assert [one for one in check_study(find("modular-grokking")) if one.problem] == []


def test_every_published_row_names_an_arm_of_the_full_form_and_a_detector_that_reads_it() -> None:
    study = find("modular-grokking").study
    for published in ROWS:
        assert ARMS[published.arm].form == "full"
        assert study.detectors[published.detector].reads(published.arm)
        if hasattr(published, "step") and published.detector == "generalised":
            steps = ARMS[published.arm].settings["max_steps"]
            assert published.arm == "miml_adam_full" or int(str(steps)) >= 2 * published.step


TELLS = {
    "Grokfast EMA": {"grokfast"}, "orthogonal gradient": {"orthogonal_gradient"}, "StableMax": {"objective"},
    "Muon": {"optimizer"},
}  # fmt: skip


def test_an_accelerator_and_its_control_differ_in_nothing_else() -> None:
    found = find("modular-grokking")
    requests = {
        batch.role: batch.request
        for is_quick in (False, True)
        for batch in resolve(found, is_quick=is_quick).batches
    }
    observed = {"stop_metric", "stop_at", "stop_every", "probes", "probe_every"}
    for one in (*COMPARISONS, *WITHOUT_DECAY):
        ours, control = requests[one.treated].members[0], requests[one.control].members[0]
        differ = {n for n in type(ours).model_fields if getattr(ours, n) != getattr(control, n)} - observed
        rate = {"learning_rate", "weight_decay"} if one.matched == RATE else set()
        assert differ == TELLS[one.accelerator] | rate
        assert len(requests[one.treated].members) == len(requests[one.control].members) >= 8
        if rate:
            assert control.learning_rate == pytest.approx(3 * ours.learning_rate)
            assert control.learning_rate * control.weight_decay == pytest.approx(
                ours.learning_rate * ours.weight_decay
            )


def test_the_analysis_of_planted_quick_runs_gives_all_that_the_page_shows() -> None:
    small = measured(80)["small"]
    e = noise(9, 20, 8)
    arms = {"small": small}
    for number, role in enumerate(
        role for role, arm in ARMS.items() if arm.form == "quick" and role != "small"
    ):
        arms[role] = arm_of(role, {"generalised": [at(float(s)) for s in 800 * np.exp(e[number])]})
    made = list(analyse(runs_of(*arms.values())))
    assert sum(isinstance(one, Finding) for one in made) == 3 + 5 + 2 + 3
    assert sum(isinstance(one, FigureSpec) for one in made) == 5
    assert sum(isinstance(one, ResultTable) for one in made) == 1
