"""The study of delayed robustness: planted courses are found, opposites refuted, what is not shown said."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from epochal.cli.study_check import check_study
from epochal.core.values.finding import Finding
from epochal.core.values.study_runs import ArmRuns, CurveOf, MemberRun, StudyRuns
from epochal.experiments import catalog
from epochal.studies import find
from epochal.studies.robust_grokking import analyse, robust_grokking
from epochal.studies.robust_grokking.coefficient import around_transition, with_curvature
from epochal.studies.robust_grokking.curves import rise_after
from epochal.studies.robust_grokking.figures import courses_figure
from epochal.studies.robust_grokking.phases import phases, three_phases, together, under_batch_norm
from epochal.studies.robust_grokking.robustness import against_training, delayed

STEPS = np.unique(np.round(np.logspace(0, 4, 41)).astype(int))
X = np.log10(STEPS)
Array = np.ndarray


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def sigmoid(x: Array, middle: float, width: float = 0.15) -> Array:
    return np.asarray(1 / (1 + np.exp(-(x - middle) / width)))


def member(role: str, seed: int, **curves: Array) -> MemberRun:
    return MemberRun(
        member_id=f"{role}-{seed}", seed=seed, outcome="finished", events={},
        curves={
            name.replace("_at_", "@").replace("__0", ".0"): CurveOf(steps=STEPS.tolist(), values=v.tolist())
            for name, v in curves.items()
        },
    )  # fmt: skip


def runs_of(make: Callable[[str, int], MemberRun], *roles: str, num: int = 6) -> StudyRuns:
    arms = {role: ArmRuns(role=role, runs=tuple(make(role, seed) for seed in range(num))) for role in roles}
    return StudyRuns(arms=arms, margins=robust_grokking.margins)


def accuracies(seed: int, height: float, late: float = 3.0) -> dict[str, Array]:
    """Clean accuracy is there at step 20; robust accuracy rises to ``height`` at 10 ** late."""
    e = rng(seed).normal(0, 0.01, len(X))
    late += 0.02 * rng(seed + 50).normal()
    return {"val_accuracy": sigmoid(X, 1.0, 0.08), "robust_accuracy": 0.1 + height * sigmoid(X, late) + e}


def verdicts(found: list[Finding]) -> list[str]:
    return [one.verdict for one in found]


def test_the_study_is_complete_and_both_forms_resolve() -> None:
    bad = [one.problem for one in check_study(find("robust-grokking")) if one.problem]
    assert all("cifar10 is not in" in str(problem) for problem in bad)  # no part of the tests
    for arm in robust_grokking.arms.values():
        where = {"data": "digits", "channels": "rgb"} if arm.experiment == "images" else {}
        assert catalog.find(arm.experiment).request({**arm.settings, **where}, arm.preset).members
    assert {role for role, arm in robust_grokking.arms.items() if arm.is_in(is_quick=True)} == {
        "mlp", "mlp_pgd", "small_modular", "small_resnet", "small_resnet_batchnorm",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("height", "late", "expected"),
    [
        (0.5, 3.0, ["supported", "supported"]),
        (0.5, 1.3, ["supported", "refuted"]),  # it rises as clean accuracy saturates
        (0.0, 3.0, ["refuted", "undecided"]),  # no rise: its time may still come
    ],
)
def test_a_late_rise(height: float, late: float, expected: list[str]) -> None:
    found = delayed(runs_of(lambda r, s: member(r, s, **accuracies(s, height, late)), "mlp"), "mlp")
    assert verdicts(found) == expected
    if not height:
        assert "shown in 0 of 6" in found[0].note and "not shown in 6" in found[1].note


def test_a_rise_is_measured_from_the_lowest_record_after_saturation() -> None:
    dip = {"val_accuracy": sigmoid(X, 1.0, 0.08), "robust_accuracy": 0.6 - 0.4 * sigmoid(X, 2, 0.05)
           + 0.2 * sigmoid(X, 3, 0.05)}  # fmt: skip
    found = rise_after(member("mlp", 0, **dip), "val_accuracy", "robust_accuracy", share=0.95, least=0.1)
    assert found.lowest == pytest.approx(0.2, abs=0.01) and found.height == pytest.approx(0.2, abs=0.01)
    assert found.at_saturation == pytest.approx(0.6, abs=0.02)
    assert found.half[0] <= 1000 <= found.half[1] * 1.01
    assert found.saturated[0] < 10 ** (1 + 0.08 * math.log(19)) <= found.saturated[1]


def test_training_against_attacks_leaves_less_to_rise() -> None:
    def make(role: str, seed: int) -> MemberRun:
        return member(role, seed, **accuracies(seed + len(role), 0.1 if role == "mlp_pgd" else 0.5))

    assert verdicts(against_training(runs_of(make, "mlp", "mlp_pgd"))) == ["supported"]

    def reverse(role: str, seed: int) -> MemberRun:
        return member(role, seed, **accuracies(seed + len(role), 0.5 if role == "mlp_pgd" else 0.1))

    assert verdicts(against_training(runs_of(reverse, "mlp", "mlp_pgd"))) == ["refuted"]


def complexity(seed: int, down: float, up: float, again: float, late: float = 3.0) -> Array:
    """Its logarithm goes down at step 6, up at 100, down again at 10 ** late."""
    late += 0.1 * rng(seed + 50).normal()
    log = 5 - down * sigmoid(X, 0.8, 0.1) + up * sigmoid(X, 2, 0.1) - again * sigmoid(X, late, 0.1)
    return np.asarray(np.exp(log + rng(seed).normal(0, 0.03, len(X))))


def test_phases_are_those_of_a_search_over_all_triples() -> None:
    values = np.exp(rng(3).normal(0, 0.5, 14))
    logs, n = np.log(values), 14
    best = max(
        min(logs[a] - logs[b], logs[c] - logs[b], logs[c] - logs[d])
        for a in range(n) for b in range(a, n) for c in range(b + 1, n) for d in range(c, n)
    )  # fmt: skip
    assert phases(STEPS[:n].astype(float), values).least == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1.0, 0.8, 1.0), "supported"),
        ((1.0, 0.0, 1.0), "refuted"),  # only down
        ((0.0, 1.0, 1.0), "refuted"),  # up and down
        ((1.0, 1.0, 0.0), "refuted"),  # no second descent
        ((0.0, 0.0, 0.0), "refuted"),  # noise
    ],
)
def test_three_phases(shape: tuple[float, float, float], expected: str) -> None:
    runs = runs_of(lambda r, s: member(r, s, local_complexity_total=complexity(s, *shape)), "mlp", num=8)
    assert verdicts(three_phases(runs, "mlp")) == [expected]


def test_batch_norm_can_flatten_the_phases() -> None:
    def make(role: str, seed: int) -> MemberRun:
        depth = 0.3 if role == "resnet_batchnorm" else 1.0
        return member(role, seed, local_complexity_total=complexity(seed + len(role), depth, depth, depth))

    assert verdicts(under_batch_norm(runs_of(make, "resnet", "resnet_batchnorm"))) == ["supported"]


def test_the_quick_form_has_batch_norm_on_and_off_and_nothing_else_differs() -> None:
    """An arm of neither coefficient nor Hessian: what needs them is left out, not refused."""
    plain, normed = (robust_grokking.arms[role] for role in ("small_resnet", "small_resnet_batchnorm"))
    assert {**plain.settings, "norm": "batch"} == normed.settings
    specs = [
        catalog.find("images").request({**arm.settings, "data": "digits"}, arm.preset).spec
        for arm in (plain, normed)
    ]
    assert [spec.norm for spec in specs] == ["none", "batch"]  # type: ignore[attr-defined]

    def make(role: str, seed: int) -> MemberRun:
        depth = 1.0 if role == "small_resnet_batchnorm" else 0.3
        curve = complexity(seed + len(role), depth, depth, depth)
        return member(role, seed, local_complexity_total=curve, **accuracies(seed, 0.0))

    runs = runs_of(make, "small_resnet", "small_resnet_batchnorm")
    assert verdicts(under_batch_norm(runs)) == ["refuted"]
    assert not around_transition(runs, "small_resnet") and not with_curvature(runs, "small_resnet")
    assert len(list(analyse(runs))) > 8


def test_the_last_descent_comes_with_the_rise_or_does_not() -> None:
    def make(late: float, shift: float = 0.0) -> StudyRuns:
        return runs_of(
            lambda r, s: member(
                r, s, **accuracies(s, 0.5, late),
                local_complexity_total=complexity(s, 1.0, 0.8, 1.0, late + shift),
            ),
            "mlp", num=12,
        )  # fmt: skip

    assert verdicts(together(make(3.0), "mlp")) == ["supported", "supported"]
    assert together(make(2.8, 0.7), "mlp")[0].verdict == "refuted"
    flat = runs_of(
        lambda r, s: member(r, s, **accuracies(s, 0.0), local_complexity_total=complexity(s, 0, 0, 0)),
        "mlp",
    )
    none = together(flat, "mlp")
    assert (
        verdicts(none) == ["undecided", "undecided"] and "not shown: both are shown in 0 of 6" in none[0].note
    )


def llc_member(
    role: str, seed: int, llc: Array, *, is_settled: bool = True, trace: Array | None = None
) -> MemberRun:
    noisy = llc + rng(seed + 9).normal(0, 0.2, len(X))
    return member(
        role, seed, **accuracies(seed, 0.5), llc=noisy, llc_equilibrated=np.full(len(X), float(is_settled)),
        trace=noisy if trace is None else trace,
    )  # fmt: skip


UP = 10 * sigmoid(X, 1.0)


@pytest.mark.parametrize(
    ("llc", "expected"),
    [
        (UP + 5 * np.exp(-(((X - 3) / 0.3) ** 2)) - 2 * sigmoid(X, 3), ["supported", "supported"]),
        (UP + 5 * np.exp(-(((X - 3) / 0.3) ** 2)) + 2 * sigmoid(X, 3.0), ["supported", "supported"]),
        (UP + 10 * sigmoid(X, 3.0), ["refuted", "refuted"]),  # grows through the transition
        (-UP - 5 * sigmoid(X, 3.0), ["refuted", "refuted"]),  # falls from the first
    ],
)  # fmt: skip
def test_both_predictions_about_the_coefficient(llc: Array, expected: list[str]) -> None:
    assert verdicts(around_transition(runs_of(lambda r, s: llc_member(r, s, llc), "mlp"), "mlp")) == expected


def test_chains_that_had_not_settled_say_nothing() -> None:
    runs = runs_of(lambda r, s: llc_member(r, s, UP, is_settled=False), "mlp")
    found = [*around_transition(runs, "mlp"), *with_curvature(runs, "mlp")]
    assert set(verdicts(found)) == {"undecided"} and all(one.p is None for one in found)
    assert "chains had settled at 0 of" in found[0].note


def test_rank_correlation_with_curvature() -> None:
    def make(sign: float) -> StudyRuns:
        return runs_of(
            lambda r, s: llc_member(r, s, UP, trace=sign * UP + rng(s).normal(0, 0.5, len(X))), "mlp"
        )

    (goes,) = with_curvature(make(1.0), "mlp")
    assert goes.verdict == "supported" and goes.margin == 0.5 and "rho of changes" in goes.note
    (against,) = with_curvature(make(-1.0), "mlp")
    assert against.verdict == "refuted" and against.estimate is not None and against.estimate < -0.5


def test_the_whole_analysis_of_planted_runs() -> None:
    def make(role: str, seed: int) -> MemberRun:
        return member(
            role,
            seed,
            **accuracies(seed, 0.5),
            local_complexity_total=complexity(seed, 1.0, 0.8, 1.0),
        )

    made = list(robust_grokking.analyse(runs_of(make, "mlp", "mlp_pgd", num=8)))
    findings = [one for one in made if isinstance(one, Finding)]
    assert len(findings) == 2 * 2 + 1 + 2 * 3
    assert all(one.adjusted_p is not None for one in findings if one.p is not None)
    assert made[-1].name == "robust-grokking"  # type: ignore[union-attr]


def test_the_figure_has_a_panel_for_what_was_measured_with_the_quartiles_of_seeds() -> None:
    def of(role: str, seed: int) -> MemberRun:
        flat = {"val_accuracy": np.full(len(X), seed / 10), "robust_accuracy": np.zeros(len(X))}
        ones = np.ones(len(X))
        llc = {"llc": 10.0 + seed * ones, "llc_equilibrated": ones * (STEPS > 9)} if role == "mlp" else {}
        return member(role, seed, **flat, **llc)

    made = courses_figure(runs_of(of, "mlp", "small_resnet", num=5))
    # Nobody measured local complexity, and one arm alone the coefficient: no panel is empty.
    assert [(panel.y.label, panel.title) for panel in made.panels] == [
        ("accuracy", "mlp"), ("accuracy", "small_resnet"), ("LLC", "mlp"),
    ]  # fmt: skip
    accuracy, llc = made.tables["mlp_accuracy"], made.tables["mlp_llc"]
    assert (accuracy["curve"][0], accuracy["value"][0]) == ("clean accuracy", 0.2)
    assert (accuracy["low"][0], accuracy["high"][0]) == pytest.approx((0.1, 0.3))
    assert llc["step"] == STEPS[STEPS > 9].tolist()  # chains had not settled before
    assert [llc["low"][0], llc["value"][0], llc["high"][0]] == [11.0, 12.0, 13.0]
