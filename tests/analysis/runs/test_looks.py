"""Alpha spending: published bounds, and the level under "add runs and look again"."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from epochal.analysis import alpha_spending, at_look, same_time
from epochal.analysis.runs.looks import Kind
from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding, Verdict


@pytest.mark.parametrize(
    ("kind", "bounds"),
    [  # Lan & DeMets' spending functions, five even looks, one-sided .025 (as in the R package ldbounds)
        ("obrien-fleming", [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
        ("pocock", [2.4380, 2.4268, 2.4101, 2.3966, 2.3859]),
    ],
)
def test_published_bounds(kind: Kind, bounds: list[float]) -> None:
    looks = alpha_spending([10, 20, 30, 40, 50], alpha=0.025, kind=kind)
    assert norm.isf(looks.level) == pytest.approx(bounds, abs=2e-4)
    assert looks.spent[-1] == pytest.approx(0.025)


def test_one_look_is_the_level_itself() -> None:
    kinds: tuple[Kind, ...] = ("obrien-fleming", "pocock")
    for kind in kinds:
        assert alpha_spending([7], kind=kind).level == pytest.approx([0.05])


@pytest.mark.parametrize("kind", ["obrien-fleming", "pocock"])
def test_level_and_what_is_spent_by_simulation(kind: Kind) -> None:
    runs = [5, 10, 20, 40]
    looks = alpha_spending(runs, kind=kind)
    g = np.random.Generator(np.random.PCG64(0))
    sums = np.cumsum(g.standard_normal((40_000, 40)), axis=1)
    scores = sums[:, np.array(runs) - 1] / np.sqrt(runs)
    p = norm.sf(scores)
    crossed = np.maximum.accumulate(p <= np.array(looks.level), axis=1).mean(axis=0)
    assert crossed == pytest.approx(looks.spent, abs=4 * np.sqrt(0.05 * 0.95 / 40_000))
    assert (p <= 0.05).any(axis=1).mean() > 0.11  # looking again at .05 each time


def test_a_real_test_looked_at_four_times_keeps_its_level() -> None:
    runs = [5, 10, 20, 40]
    looks = alpha_spending(runs)
    naive = spent = 0
    for r in range(250):
        lags = np.random.Generator(np.random.PCG64([1, r])).normal(200, 40, 40)
        p = [same_time(np.zeros(n), lags[:n], margin=200, power=None).p or 0.0 for n in runs]
        naive += min(p) <= 0.05
        spent += any(value <= level for value, level in zip(p, looks.level, strict=True))
    assert naive / 250 > 0.08
    assert spent / 250 < 0.05 + 3 * 0.014


def test_refutations_keep_their_level_when_each_look_has_its_interval() -> None:
    runs = (5, 10, 20, 40)
    looks = alpha_spending(runs, kind="pocock")
    naive = spent = 0
    for r in range(250):
        lags = np.random.Generator(np.random.PCG64([2, r])).normal(200, 40, 40)

        def refuted(count: int, level: float, lags: np.ndarray = lags) -> bool:
            found = same_time(np.zeros(count), lags[:count], margin=200, alpha=level, power=None)
            return at_look(found, looks).verdict == "refuted" if level < 0.05 else found.verdict == "refuted"

        naive += any(refuted(n, 0.05) for n in runs)
        spent += any(refuted(n, level) for n, level in zip(runs, looks.level, strict=True))
    assert naive / 250 > 0.08
    assert 0 < spent / 250 < 0.05 + 3 * 0.014


def finding(p: float | None, num_runs: int, verdict: Verdict = "supported") -> Finding:
    return Finding(
        claim="c",
        test="t",
        estimate=1.0,
        low=0.0,
        high=2.0,
        num_runs=num_runs,
        null="n",
        p=p,
        verdict=verdict,
    )


def test_a_finding_is_judged_by_its_look() -> None:
    looks = alpha_spending([5, 10, 20])
    early = at_look(finding(0.03, 5), looks)
    assert early.verdict == "undecided"
    assert "look 1 of 3" in early.sentence
    assert at_look(finding(0.03, 20), looks).verdict == "supported"
    # To refute early needs the interval of that look; one made for a single look is too short.
    short = at_look(finding(1.0, 5, "refuted"), looks)
    assert short.verdict == "undecided"
    assert "95% interval" in short.sentence
    wide = replace(finding(1.0, 5, "refuted"), level=1 - 2 * looks.level[0])
    assert at_look(wide, looks).verdict == "refuted"
    assert at_look(finding(1.0, 20, "refuted"), looks).verdict == "refuted"
    # What the analysis left undecided for another reason than p stays so.
    assert at_look(finding(1e-9, 20, "undecided"), looks).verdict == "undecided"
    out_of_reach = at_look(replace(finding(0.01, 5), smallest_p=1 / 120), looks)
    assert "which so few runs cannot give" in out_of_reach.sentence
    assert at_look(finding(0.03, 19), looks, runs=20).verdict == "supported"
    with pytest.raises(UserError, match="no look was declared at 7 runs"):
        at_look(finding(0.03, 7), looks)
    with pytest.raises(UserError, match="p-value"):
        at_look(finding(None, 5, "undecided"), looks)


@pytest.mark.parametrize(
    ("runs", "options", "message"),
    [
        ([], {}, "at least one look"),
        ([0, 5], {}, "at least one look"),
        ([5, 5], {}, "must increase"),
        ([5, 10], {"alpha": 0}, "alpha=0"),
        ([5, 10], {"kind": "haybittle"}, "kind="),
    ],
)
def test_bad_input_is_one_line(runs: list[int], options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        alpha_spending(runs, **options)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
