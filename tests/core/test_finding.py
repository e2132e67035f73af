"""A finding says all of itself in one sentence, and cannot contradict itself."""

import math
from dataclasses import replace

import pytest

from epochal.core.values.finding import Finding

FOUND = Finding(
    claim="A and B are coupled across runs",
    test="Kendall's tau",
    estimate=0.8,
    unit="tau",
    low=-0.2,
    high=0.98,
    num_runs=5,
    null="any pairing",
    p=0.042,
    verdict="undecided",
    smallest_p=1 / 120,
    runs_needed=8,
)


def test_the_sentence_holds_everything() -> None:
    assert FOUND.sentence == (
        "A and B are coupled across runs: undecided; 0.8 tau [-0.2, 0.98]; p = 0.042 (Kendall's tau, against "
        "any pairing); 5 runs; about 8 would decide with power 0.9; smallest attainable p 0.0083. "
        "Exploratory."
    )
    declared = replace(FOUND, exploratory=False, level=0.9, high=math.inf, adjusted_p=0.08, margin=0.1)
    assert "90% interval [-0.2, ∞]" in declared.sentence
    assert "margin 0.1 tau" in declared.sentence
    assert "0.08 adjusted" in declared.sentence
    assert "Exploratory" not in declared.sentence
    assert "p < 0.0001, < 0.0001 adjusted (" in replace(FOUND, p=1e-6, adjusted_p=2e-6).sentence
    assert "\n" not in declared.sentence


def test_what_cannot_be_said_is_said() -> None:
    unknown = replace(FOUND, runs_needed=None, smallest_p=0.0)
    assert "no number known that would decide with power 0.9" in unknown.sentence
    assert "attainable" not in unknown.sentence  # nothing bounds the p of a t test


def test_a_row_is_plain() -> None:
    row = replace(FOUND, high=math.inf, member_ids=("a", "b")).as_row()
    assert row["high"] is None
    assert row["member_ids"] == ["a", "b"]
    assert row["exploratory"] is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"verdict": "refuted", "low": None, "high": None},  # no interval excludes the claim
        {"low": 1.0, "high": 0.0},
        {"low": None},
        {"p": 1.5},
        {"level": 1.0},
    ],
)
def test_contradictions_are_our_bugs(wrong: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        replace(FOUND, **wrong)  # type: ignore[arg-type]
