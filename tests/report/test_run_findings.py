"""What the page of a run claims by itself: delays and differences of arms, corrected as one family."""

import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from epochal.core.values.finding import Finding, finding_of, stored_row
from epochal.report.delay_findings import delay_finding
from epochal.report.page import page
from epochal.report.run_findings import findings_of, keep_asked, keep_findings
from epochal.report.tables import group_rows
from epochal.store.run_findings import read_findings
from tests.report.runs import EVENT_SCHEMA, FakeRun, grokking_run


def with_delays(run: FakeRun, outcomes: dict[int, str] | None = None) -> FakeRun:
    """With the rows ``delay`` and ``learning`` that a run of today has beside its two events."""
    rows = []
    events = {(row["member"], row["name"]): row for row in run.events.to_dicts()}
    for member in run.members["member"]:
        a, b = events[member, "memorisation"], events[member, "generalisation"]
        is_there = b["step"] is not None
        low = (b["low"] - a["high"]) if a["high"] is not None else None
        rows.append(
            b
            | {"name": "delay", "step": b["step"] - a["step"] if is_there else None, "low": low}
            | {"high": b["high"] - a["low"] if is_there else None}
        )
        what = (outcomes or {}).get(member, "grokked" if is_there else "memorised only")
        rows.append(
            b | {"name": "learning", "reason": f"{what}: why", "step": None, "low": None, "high": None}
        )
    return replace(run, events=pl.concat([run.events, pl.DataFrame(rows, schema=EVENT_SCHEMA)]))


def test_a_run_of_seeds_has_its_delay_with_the_interval_of_order_statistics(tmp_path: Path) -> None:
    run = with_delays(grokking_run(tmp_path, num_seeds=7))
    said = findings_of(run)
    [found] = said.findings
    delay = run.events.filter(pl.col("name") == "delay")
    # Of seven runs the extremes hold the median with 1 - 2 / 2^7 = 98.4%, the next ones with 87.5%.
    assert found.low == delay["low"].min() and found.high == delay["high"].max()
    assert found.estimate == pytest.approx(float(np.median((delay["low"] + delay["high"]) / 2)))
    assert (found.p, found.smallest_p, found.verdict) == (0.5**7, 0.5**7, "supported")
    assert found.exploratory and len(found.member_ids) == found.num_runs == 7
    assert found.adjusted_p is None and not said.unsaid


def test_the_sign_test_is_that_of_all_signs() -> None:
    """Under the null each run is later or not, evenly: p is the share of patterns with as many later ones."""
    for num, later in ((3, 3), (6, 5), (9, 6)):
        ranges = [(10.0, 20.0)] * later + [(-5.0, 5.0)] * (num - later)
        patterns = [sum(signs) for signs in product((0, 1), repeat=num)]
        assert delay_finding(ranges).p == pytest.approx(np.mean([count >= later for count in patterns]))


def test_the_interval_of_the_median_covers() -> None:
    random = np.random.default_rng(0)
    for num, least in ((4, 0.875), (10, 0.95), (25, 0.95)):
        hits = 0
        for _ in range(400):
            drawn = random.exponential(100, num)
            found = delay_finding([(float(x), float(x)) for x in drawn])
            assert found.low is not None and found.high is not None and found.level <= least + 1e-9
            hits += found.low <= 100 * math.log(2) <= found.high
        assert hits / 400 > least - 0.03


def test_what_did_not_happen_is_not_left_out() -> None:
    never, no_delay = (50.0, math.inf), (-math.inf, 0.0)
    found = delay_finding([never] * 4 + [no_delay] * 4)
    assert found.verdict == "undecided" and found.estimate is None
    assert found.note == "4 had not generalised by the last record; 4 did not memorise, or diverged"
    assert delay_finding([no_delay] * 8).verdict == "refuted"
    assert delay_finding([no_delay] * 5).verdict == "undecided"  # an interval of 94% refutes nothing
    assert "[50, ∞] steps" in delay_finding([never] * 8).sentence


def test_arms_are_compared_seed_by_seed_and_all_findings_are_one_family(tmp_path: Path) -> None:
    run = with_delays(grokking_run(tmp_path, num_seeds=8, weight_decays=(0.3, 1.0, 3.0)))
    said = findings_of(run)
    claims = [found.claim for found in said.findings]
    assert claims[:3] == [
        f"generalisation comes later than memorisation under weight_decay {decay}"
        for decay in (0.3, 1.0, 3.0)
    ]
    assert (
        claims[3] == "generalisation comes at another time under weight_decay 1.0 than under weight_decay 0.3"
    )
    first = said.findings[3]
    steps: dict[tuple[int, float], float | None] = {
        (row["seed"], row["weight_decay"]): row["step"]
        for row in run.events.filter(pl.col("name") == "generalisation")
        .join(run.members, on="member")
        .to_dicts()
    }
    ends = float(run.metrics["step"].to_numpy().max())
    times = {key: min(step or math.inf, ends) for key, step in steps.items()}
    truth = float(np.mean([times[seed, 1.0] - times[seed, 0.3] for seed in range(8)]))
    assert first.estimate == pytest.approx(truth) and first.num_runs == 8 and truth < 0
    assert first.note.startswith("above 0: later under weight_decay 1.0")
    raw = sorted(found.p or 0 for found in said.findings)
    smallest = min(said.findings, key=lambda found: found.p or 0)
    assert smallest.adjusted_p == pytest.approx(len(raw) * raw[0])


def test_a_rise_that_ends_far_below_is_no_generalisation(tmp_path: Path) -> None:
    run = grokking_run(tmp_path, num_seeds=6)
    [grokked] = findings_of(with_delays(run)).findings
    [failed] = findings_of(with_delays(run, {0: "memorised only", 1: "learnt nothing"})).findings
    assert grokked.p == 0.5**6 and failed.p == 7 * 0.5**6
    assert failed.note == "1 had not generalised by the last record; 1 did not memorise, or diverged"
    assert group_rows(with_delays(run, {0: "memorised only"}))[0].num_generalised == 5


def test_too_many_arms_and_too_few_seeds_are_told(tmp_path: Path) -> None:
    many = with_delays(grokking_run(tmp_path, num_seeds=1, weight_decays=[float(i) for i in range(1, 10)]))
    said = findings_of(many)
    assert not said.findings and "9 arms (weight_decay) are not compared" in said.unsaid[0]
    few = with_delays(grokking_run(tmp_path, num_seeds=2, weight_decays=(1.0, 3.0)))
    said = findings_of(few)
    assert not said.findings and "fewer than 3 seeds" in said.unsaid[0] and len(said.unsaid) == 2


def test_a_run_under_way_claims_nothing(tmp_path: Path) -> None:
    run = with_delays(grokking_run(tmp_path, num_seeds=7))
    members = run.members.with_columns(outcome=pl.lit("running"))
    assert not findings_of(replace(run, members=members, is_done=False)).findings


def test_what_was_asked_stays_counts_and_stands_on_the_page(tmp_path: Path) -> None:
    run = with_delays(grokking_run(tmp_path, num_seeds=7))
    asked = Finding(
        claim="x", test="t", estimate=math.inf, low=math.inf, high=math.inf, num_runs=7, null="n", p=0.04,
        verdict="refuted",
    )  # fmt: skip
    for _ in range(2):
        keep_asked(run, {"value": "a"}, "epochal analyse RUN", [asked], ["cannot <tell>"])
    keep_asked(run, {"value": "b"}, "epochal analyse RUN --arm c", [asked], [])
    said = keep_findings(run)
    assert len(read_findings(run.path).asked) == 2  # the same question replaces its answer
    assert [found.claim for found in said.findings][1:] == ["x"]  # and the same claim counts once
    assert said.findings[0].adjusted_p == 2 * 0.5**7 and said.findings[1].adjusted_p == 0.04
    stored = json.loads((run.path / "findings.json").read_text())
    assert [row["sentence"] for row in stored["findings"]] == [found.sentence for found in said.findings]
    text = page(run, [])
    assert 'id="findings"' in text and "cannot &lt;tell&gt;" in text and "∞ to ∞" in text
    assert "asked: <code>epochal analyse RUN</code>" in text and "all 2 findings shown" in text


def test_a_stored_finding_is_the_same_finding() -> None:
    for low, high in ((None, None), (-math.inf, 3.0), (math.inf, math.inf), (1.0, 2.0)):
        found = Finding(
            claim="x", test="t", estimate=1.5, low=low, high=high, num_runs=3, null="n", p=None,
            verdict="undecided", member_ids=("a", "b"),
        )  # fmt: skip
        assert finding_of(json.loads(json.dumps(stored_row(found), allow_nan=False))) == found
