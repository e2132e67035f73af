"""The tables behind the figures of events: where the truth is known by construction."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from epochal.core.values.errors import UserError
from epochal.report.figures import find
from epochal.report.files import save_figure
from tests.report.runs import EVENT_SCHEMA, FakeRun

RECORDS = np.arange(0, 1001, 10)


def run_of(
    a: Sequence[float], b: Sequence[float], *, arms: Sequence[str] = (), diverged: Sequence[float] = ()
) -> FakeRun:
    """A member per pair of event times (nan: not by the last record), its curve a step at ``b``."""
    events: list[dict[str, Any]] = []
    frames = []
    ends = [*diverged, *[np.nan] * (len(a) - len(diverged))]
    for member, times in enumerate(zip(a, b, strict=True)):
        last = 1000.0 if np.isnan(ends[member]) else ends[member]
        steps = RECORDS[last >= RECORDS]
        frames.append(
            pl.DataFrame(
                {
                    "member": member,
                    "step": steps,
                    "val_accuracy": (steps >= np.nan_to_num(times[1], nan=1e9)) * 1.0,
                }
            )
        )
        for name, time in zip(("first", "second"), times, strict=True):
            happened = not np.isnan(time)
            events.append(
                {"member": member, "name": name, "probe": "val_accuracy", "found": happened, "p": 0.01,
                 "step": time if happened else None, "low": time - 3 if happened else last,
                 "high": time + 3 if happened else None, "width": 10.0 if happened else None,
                 "censored": "none" if happened else "right", "reason": ""}
            )  # fmt: skip
    members = {
        "member": range(len(a)),
        "member_id": [f"{m:016x}" for m in range(len(a))],
        "seed": range(len(a)),
    }
    is_bad = [not np.isnan(end) for end in ends]
    table = pl.DataFrame(members | ({"decay": list(arms)} if arms else {})).with_columns(
        pl.Series("outcome", ["diverged" if bad else "finished" for bad in is_bad]),
        pl.Series("outcome_step", [int(e) if not np.isnan(e) else 1000 for e in ends]),
        pl.lit(None, pl.String).alias("outcome_reason"),
    )
    return FakeRun(
        path=Path("run"), name="run", metrics=pl.concat(frames), members=table,
        events=pl.DataFrame(events, schema=EVENT_SCHEMA), spec={"experiment": "made"}, environment={},
    )  # fmt: skip


NEVER = np.nan


def test_aligned_curves_rise_at_zero_and_runs_at_risk_are_counted() -> None:
    run = run_of([50] * 5, [200, 500, 900, 990, NEVER])
    spec = find("aligned").of(run, {"event": "second", "window": "300"})
    lines = pl.DataFrame(spec.tables["lines_0"])
    assert lines["member"].n_unique() == 4 and "1 members without the event" in spec.caption
    assert (
        lines.filter(pl.col("lag") < -10)["value"].max() == 0
        and lines.filter(pl.col("lag") >= 0)["value"].min() == 1
    )
    risk = dict(pl.DataFrame(spec.tables["at_risk"]).select(pl.col("lag").round(), "runs").iter_rows())
    # Records run from 0 to 1000: at -300 the member of step 200 is not there, at 50 that of 990 is not.
    assert (risk[-300], risk[0], risk[50], risk[300]) == (3, 4, 3, 2)
    medians = pl.DataFrame(spec.tables["medians_0"])
    assert medians["runs"].min() == 3 and medians.filter(pl.col("lag") > 5)["median"].min() == 1


def test_lags_are_signed_and_censored_ones_are_limits() -> None:
    run = run_of([100, 300, 200, NEVER, NEVER], [150, 280, NEVER, 400, NEVER])
    spec = find("lags").of(run, {"a": "first", "b": "second", "margin": "2rec"})
    rows = zip(*(spec.tables["both"][key] for key in ("member", "lag", "low", "high")), strict=True)
    both = {member: (lag, low, high) for member, lag, low, high in rows}
    assert both == {0: (50, 44, 56), 1: (-20, -26, -14)}
    assert spec.tables["only_a"]["lag"] == [800] and spec.tables["only_b"]["lag"] == [-600]
    assert spec.tables["margin"]["lag"] == [-20, 20] and "Neither happened in 1 more" in spec.caption
    shapes = {layer.table: layer.shape for layer in spec.panels[0].layers if layer.mark == "point"}
    assert shapes["only_a"] == "arrow" and shapes["only_b"] == "arrow_left"


def test_survival_is_the_share_of_runs_left_by_arm() -> None:
    run = run_of([50] * 8, [100, 200, 300, 400, 500, 600, NEVER, NEVER], arms=["lo"] * 4 + ["hi"] * 4)
    spec = find("survival").of(run, {"event": "second"})
    curve = pl.DataFrame(spec.tables["curves"])
    low = curve.filter(pl.col("arm") == "lo").group_by("step", maintain_order=True).last()
    assert dict(low.select("step", "share").iter_rows()) == pytest.approx(
        {0: 1, 100: 0.75, 200: 0.5, 300: 0.25, 400: 0, 1000: 0}
    )
    assert curve.filter(pl.col("arm") == "hi")["share"].min() == pytest.approx(0.5)
    counts = {
        (row["arm"], row["step"]): row["runs"]
        for row in pl.DataFrame(spec.tables["at_risk"]).iter_rows(named=True)
    }
    assert counts["lo", 0] == "4" and counts["lo", 200] == "3" and counts["hi", 800] == "2"


def test_divergence_is_a_competing_risk_and_no_censoring() -> None:
    run = run_of([50] * 4, [NEVER, NEVER, 300, 600], diverged=[100, 200])
    spec = find("survival").of(run, {"event": "second"})
    curves = pl.DataFrame(spec.tables["curves"])
    # Half of the runs diverged first: the event's share ends at 1/2, where 1 - Kaplan-Meier would say 1.
    assert curves.filter(pl.col("panel") == "event")["share"].max() == 0.5
    assert curves.filter(pl.col("panel") == "diverged")["share"].max() == 0.5
    assert "Aalen-Johansen" in spec.caption and len(spec.panels) == 3


def test_power_grows_with_runs_to_one() -> None:
    random = np.random.default_rng(0)
    a = random.uniform(200, 800, 10)
    run = run_of(a.tolist(), (a + random.normal(0, 8, 10)).tolist())
    spec = find("power").of(run, {"a": "first", "b": "second", "margin": "20"})
    table = pl.DataFrame(spec.tables["power"])
    assert table["runs"].max() == 60 and spec.tables["present"]["runs"] == [10]
    for test in ("coupled", "same time"):
        values = table.filter(pl.col("test") == test)["power"].to_list()
        assert (
            values[-1] == 1 and values[0] < 0.9 and all(b > a - 0.05 for a, b in itertools.pairwise(values))
        )


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("aligned", {"event": "secnd"}, "no event and no column secnd: did you mean 'second'"),
        ("aligned", {"event": "second", "window": "-5"}, "window=-5 must be"),
        ("lags", {"a": "first", "b": "second", "margin": "0"}, "--margin 0 is neither"),
        ("survival", {"event": "second", "arms": "decay"}, "decay does not vary in run"),
        ("power", {"a": "first", "b": "second", "target": "2"}, "target=2 is outside"),
    ],
)
def test_wrong_options_are_one_line(name: str, settings: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as error:
        find(name).of(run_of([1, 2, 3], [4, 5, 6]), settings)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("num", [3, 10, 200])
@pytest.mark.parametrize("name", ["aligned", "lags", "survival", "power"])
def test_all_sizes_are_drawn_on_a_narrow_column(name: str, num: int, tmp_path: Path) -> None:
    random = np.random.default_rng(num)
    a = random.uniform(200, 800, num)
    settings = {"event": "second"} if name in ("aligned", "survival") else {"a": "first", "b": "second"}
    spec = find(name).of(run_of(a.tolist(), (a + random.normal(0, 8, num)).tolist()), settings)
    assert (tmp_path / f"{name}.svg") in save_figure(spec, tmp_path, ("svg",), 3.25, 8)
