"""Norms over sites and epochs: medians counted by hand, arms apart, the file that other scripts read."""

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Colour
from epochal.report import figures
from epochal.report.charts import figure_chart
from epochal.report.figures import page_figures
from epochal.report.files import figure_svg
from epochal.store.credit_log import write_credit_log
from epochal.store.run import load
from tests.report.runs import FakeRun, short_run, stored

RULES = ("backprop", "dfa")
NORMS = {0: [1.0, 2.0], 1: [3.0, 40.0], 2: [5.0, math.inf]}
"""Epoch to what the first member of an arm has per site; later seeds have 10 times as much, then 100."""
SCHEMA: dict[str, Any] = {
    name: {"dtype": "list[float64]"}
    for name in ("hidden_norm", "gradient_norm", "gradient_norm_frobenius", "credit_alignment_input")
} | {name: {"dtype": "float64"} for name in ("sample_accuracy", "sample_loss")}


def planted(path: Path, *, num_seeds: int = 3, rules: tuple[str, ...] = RULES) -> FakeRun:
    base, rows, members = short_run(path), [], []
    for number, (rule, seed) in enumerate((rule, seed) for rule in rules for seed in range(num_seeds)):
        ended = {"outcome": "finished", "outcome_step": 20, "outcome_reason": ""}
        members.append({"member": number, "member_id": f"{number:08x}", "rule": rule, "seed": seed, **ended})
        for epoch, norms in NORMS.items():
            scaled = [value * 10**seed * (2 if rule == "dfa" else 1) for value in norms]
            rows.append(
                {
                    "member": number, "step": 10 * epoch, "epoch": float(epoch), "hidden_norm": scaled,
                    "gradient_norm": [1 / value for value in scaled], "gradient_norm_frobenius": scaled,
                    "credit_alignment_input": [math.nan if rule == "frozen" else 0.5],
                    "sample_accuracy": 0.25, "sample_loss": 2.0,
                }
            )  # fmt: skip
    fields = {"rule": {"axis": list(rules)}, "seed": {"axis": list(range(num_seeds))}, "depth": 1, "width": 8}
    changed = {
        "metrics": pl.DataFrame(rows),
        "members": pl.DataFrame(members),
        "events": base.events.clear(),
        "spec": {**base.spec, "fields": fields},
        "environment": {**base.environment, "num_classes": 10},
        "schema": SCHEMA,
    }
    return FakeRun(**{**base.__dict__, **changed})


def test_lines_are_the_medians_of_an_arms_members(tmp_path: Path) -> None:
    spec = figures.find("norms").of(planted(tmp_path), {})
    assert [panel.title for panel in spec.panels] == ["backprop (3)", "dfa (3)"] * 2
    assert isinstance(spec.colour, Colour) and spec.colour.values == ("0", "1", "2") and spec.per_row == 2
    table = spec.tables["hidden_norm_1"]
    found = {
        (epoch, site): (middle, low, high)
        for epoch, site, middle, low, high in zip(
            *(table[name] for name in ("epoch", "site", "median", "low", "high")), strict=True
        )
    }
    assert found[1.0, "1"] == (800.0, 80.0, 8000.0)
    assert found[2.0, "1"] == (None, None, None), "what is infinite is not drawn"
    assert "zero or not finite" in spec.caption


@pytest.mark.parametrize("options", [{}, {"x": "epoch"}, {"times": "2"}])
def test_it_draws_small_and_large(tmp_path: Path, options: dict[str, str]) -> None:
    spec = figures.find("norms").of(planted(tmp_path), options)
    figure_chart(spec)
    for width, font in ((None, None), (3.25, 8.0)):
        svg = figure_svg(spec, width=width, font=font)
        assert "<path" in svg and "NaN" not in svg and "undefined" not in svg


def test_fewer_epochs_keep_both_ends(tmp_path: Path) -> None:
    spec = figures.find("norms").of(planted(tmp_path), {"times": "2"})
    assert isinstance(spec.colour, Colour) and spec.colour.values == ("0", "2")


def test_a_page_has_it_where_norms_were_recorded(tmp_path: Path) -> None:
    assert "norms" in [spec.name for spec in page_figures(planted(tmp_path))]
    assert "norms" not in [spec.name for spec in page_figures(short_run(tmp_path))]
    with pytest.raises(UserError, match="has no norms per site: measure them with probes=hidden_norm"):
        figures.find("norms").of(short_run(tmp_path), {})


def test_the_log_has_the_scripts_names_and_no_nan(tmp_path: Path) -> None:
    run = load(stored(planted(tmp_path, rules=("backprop", "frozen")), tmp_path, "run"))
    text = write_credit_log(run, tmp_path / "log.json", member=1).read_text()
    log = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert set(log) == {"config", "depth", "d_hidden", "num_classes", "bp_log", "dfa_log"}
    assert (log["depth"], log["d_hidden"], log["num_classes"]) == (1, 8, 10)
    assert log["config"]["seed"] == 1 and log["config"]["rule"] == ["backprop", "frozen"]
    assert log["bp_log"][1] == {
        "epoch": 1, "hidden_norms": [30.0, 400.0], "bp_grad_norms_per_sample_med": [1 / 30, 1 / 400],
        "bp_grad_norms_F": [30.0, 400.0], "acc_eval": 0.25, "loss_eval": 2.0, "gamma_dfa": 0.5,
    }  # fmt: skip
    assert log["bp_log"][2]["hidden_norms"] == [50.0, None] and log["dfa_log"][0]["gamma_dfa"] is None


def test_the_log_of_many_rules_wants_to_know_which(tmp_path: Path) -> None:
    run = load(stored(planted(tmp_path, rules=("backprop", "dfa", "fa")), tmp_path, "run"))
    with pytest.raises(
        UserError, match=r"2 members for one log \(dfa, fa\); choose one with --member, such as 3"
    ):
        write_credit_log(run, tmp_path / "log.json")
    log = json.loads(write_credit_log(run, tmp_path / "log.json", member=6).read_text())
    assert log["config"]["rule"] == ["backprop", "fa"]
    with pytest.raises(UserError, match="no member 9; its members are 0 to 8"):
        write_credit_log(run, tmp_path / "log.json", member=9)
    plain = load(stored(short_run(tmp_path), tmp_path, "plain"))
    with pytest.raises(UserError, match="has no hidden_norm: record it with preset=credit"):
        write_credit_log(plain, tmp_path / "log.json")
