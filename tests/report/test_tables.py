"""Words for what happened, what did not, and what nobody can say."""

from pathlib import Path

import pytest

from epochal.report.tables import (
    _between,
    event_shown,
    group_rows,
    learning_shown,
    member_rows,
    number,
    outcome_text,
)
from tests.report.runs import FakeRun, event, short_run

BETWEEN = event(0, "generalisation", "val_accuracy", 150.0, 900.0) | {
    "censored": "interval",
    "low": 100.0,
    "high": 200.0,
}
LEFT = event(0, "memorisation", "train_accuracy", 0.0, 900.0) | {"censored": "left", "low": 0.0, "high": 10.0}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (event(0, "g", "v", 5000.0, 9000.0), "5,000 [4,800, 5,200]"),
        (event(0, "g", "v", None, 20_000.0), "not by 20,000"),
        (BETWEEN, "between 100 and 200"),
        (LEFT, "by 10, the first record"),
        (None, "not looked for"),
    ],
)
def test_events_in_words(given: dict[str, object] | None, text: str) -> None:
    assert event_shown(given).text == text


def test_delay_and_ratio_come_from_the_events(five: FakeRun) -> None:
    for row, (member,) in zip(member_rows(five), five.members.select("member").iter_rows(), strict=True):
        steps = dict(five.events.filter(member=member).select("name", "step").iter_rows())
        assert float(row.delay.exact) == steps["generalisation"] - steps["memorisation"]
        assert float(row.ratio.exact) == steps["generalisation"] / steps["memorisation"]


def test_a_delay_without_generalisation_is_a_lower_limit(many: FakeRun) -> None:
    never = many.events.filter(name="generalisation", censored="right")
    rows = member_rows(many)
    for member, low in never.select("member", "low").head(5).iter_rows():
        start = many.events.filter(member=member, name="memorisation")["step"].item()
        assert rows[member].delay.text.startswith("> ")
        assert float(rows[member].delay.exact) == low - start


def test_learning_is_named_with_its_reason_and_delays_have_intervals() -> None:
    row = {"reason": "grokked: validation follows 900 steps after training, 7 times as late"}
    plateau = {"height": 0.02, "low": 0.018, "high": 0.022}
    shown = learning_shown(row, plateau)
    assert shown.text == "grokked"
    assert shown.note.startswith("validation follows") and "0.02 [0.018, 0.022]" in shown.note
    assert learning_shown(None, None).text == "–"
    a, b = event(0, "memorisation", "t", 150.0, 9000.0), event(0, "generalisation", "v", 1050.0, 9000.0)
    assert _between(a, b, "delay", {"low": 880.0, "high": 920.0}).text == "900 [880, 920]"
    assert _between(a, b, "ratio", {"low": 6.8, "high": 7.2}).text == "7 [6.8, 7.2]"
    assert _between(a, b, "delay", None).text == "900"


def test_group_medians_count_what_was_not_reached_as_infinitely_late(many: FakeRun) -> None:
    rows = {row.label: row for row in group_rows(many)}
    second = many.events.filter(name="generalisation").join(many.members, on="member")
    for decay in (0.1, 0.3, 1.0, 3.0, 10.0):
        row, group = rows[f"weight_decay {decay}"], second.filter(weight_decay=decay)
        steps = sorted(group["step"].fill_null(float("inf")))
        middle = (steps[19] + steps[20]) / 2
        assert row.num_members == 40
        assert row.num_diverged == len(group.filter(outcome="diverged"))
        assert row.num_generalised == group["step"].count()
        assert row.generalisation.text == (
            "not reached by half" if middle == float("inf") else number(middle)
        )


def test_outcomes_are_worded_honestly() -> None:
    row = {"outcome": "diverged", "outcome_step": 1234, "outcome_reason": "loss is inf"}
    assert outcome_text(row, is_done=True) == "diverged at step 1,234: loss is inf"
    running = {"outcome": "running", "outcome_step": None, "outcome_reason": None}
    assert outcome_text(running, is_done=False) == "running"
    assert outcome_text(running, is_done=True) == "unfinished"


def test_a_member_without_events_has_a_row(tmp_path: Path) -> None:
    (row,) = member_rows(short_run(tmp_path, values=False))
    assert (row.generalisation.text, row.delay.text) == ("not looked for", "–")
