"""The figures of a run say what its tables say."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from epochal.core.values.figure import FigureSpec
from epochal.report.curve_tables import median_table
from epochal.report.figures import find
from epochal.report.figures import page_figures as figures
from epochal.report.reading import grouping
from tests.report.runs import FakeRun, grokking_run, short_run


def test_the_median_is_numpys_median_and_the_band_its_quartiles(
    many: FakeRun, many_figures: list[FigureSpec]
) -> None:
    table = pl.DataFrame(many_figures[0].tables["val_accuracy_median"])
    decays = many.members.select("member", "weight_decay")
    steps = many.metrics["step"].unique().sort()
    for decay, step in ((0.1, 0), (3.0, steps[len(steps) // 2]), (10.0, 20_000)):
        group = many.metrics.filter(step=step).join(decays.filter(weight_decay=decay), on="member")
        values = group["val_accuracy"].to_numpy()
        values = values[np.isfinite(values)]
        row = table.filter(colour=str(decay), step=step).row(0, named=True)
        assert row["median"] == np.median(values)
        assert (row["lower"], row["upper"]) == pytest.approx(np.quantile(values, [0.25, 0.75]), abs=1e-12)
        assert row["num_members"] == len(values)


def test_no_median_of_survivors_and_none_of_two() -> None:
    # Three members at step 0, two at step 1, one (a third) at step 2.
    rows = [(m, s, 1.0 * m) for s, n in ((0, 3), (1, 2), (2, 1)) for m in range(n)]
    frame = pl.DataFrame(rows, schema=["member", "step", "value"], orient="row").with_columns(arm=pl.lit("a"))
    assert median_table(frame, ["arm"])["step"].to_list() == [0, 1]
    assert len(median_table(frame.filter(pl.col("member") < 2), ["arm"])) == 0


def test_the_median_of_members_with_their_own_steps_lies_between_their_records() -> None:
    # Lines y = m t, recorded at steps of their own, and a fourth that ends at step 4: the median of lines.
    grids = ([0, 10, 20], [0, 4, 12, 20], [0, 7, 20], [0, 4])
    kept = [(m, s, 1.0 * m * s) for m, grid in enumerate(grids) for s in grid]
    frame = pl.DataFrame(kept, schema=["member", "step", "value"], orient="row").with_columns(arm=pl.lit("a"))
    table = median_table(frame, ["arm"])
    assert table["step"].to_list() == [0, 4, 7, 10, 12, 20]
    expected = [np.median([m * s for m in range(4 if s <= 4 else 3)]) for s in table["step"]]
    assert table["median"].to_list() == pytest.approx(expected)
    assert table["num_members"].to_list() == [4, 4, 3, 3, 3, 3]


def test_of_many_grids_the_median_has_twice_the_records_of_the_longest() -> None:
    kept = [(m, m + 40 * s, 1.0) for m in range(40) for s in range(25)]
    frame = pl.DataFrame(kept, schema=["member", "step", "value"], orient="row").with_columns(arm=pl.lit("a"))
    table = median_table(frame, ["arm"])
    assert 40 <= len(table) <= 50 and set(table["median"]) == {1.0}


def test_columns_that_are_no_words_keep_tables_apart(tmp_path: Path) -> None:
    run = short_run(tmp_path)
    both = run.metrics.with_columns(**{"norm_a.0": pl.lit(1.0), "norm_a_0": pl.lit(2.0)})
    spec = next(f for f in figures(FakeRun(**{**run.__dict__, "metrics": both})) if f.name == "measures")
    assert {name for name in spec.tables if name.startswith("norm")} >= {"norm_a_0"}
    values = [set(t["value"]) for name, t in spec.tables.items() if name.startswith("norm")]
    assert {1.0} in values and {2.0} in values


def test_what_has_a_figure_of_its_own_is_drawn_among_the_others_where_it_is_named(tmp_path: Path) -> None:
    run = short_run(tmp_path)
    also = run.metrics.with_columns(
        llc=pl.lit(3.0), llc_drift=pl.lit(0.1), local_complexity_total=pl.lit(2.0)
    )
    robust = FakeRun(**{**run.__dict__, "metrics": also})
    spec = next(f for f in figures(robust) if f.name == "measures")
    assert "weight_norm" in spec.tables
    assert not {name for name in spec.tables if name.startswith(("llc", "local"))}
    assert "llc_drift" in find("measures").of(robust, {"columns": "llc_drift"}).tables


def test_of_very_many_measures_the_first_are_drawn_and_the_rest_counted(tmp_path: Path) -> None:
    run = short_run(tmp_path)
    norms = run.metrics.with_columns(**{f"norm.{i}": pl.col("step") * 1.0 for i in range(60)})
    wide = FakeRun(**{**run.__dict__, "metrics": norms})
    spec = next(f for f in figures(wide) if f.name == "measures")
    assert len(spec.panels) == 24
    assert spec.caption.endswith(" more columns were recorded; columns=a,b draws them.")
    named = find("measures").of(wide, {"columns": ",".join(f"norm.{i}" for i in range(60))})
    assert len(named.panels) == 60 and "more columns" not in named.caption


def test_seeds_are_replicates_and_other_fields_are_colour_and_panels(tmp_path: Path) -> None:
    run = grokking_run(
        tmp_path, num_seeds=3, weight_decays=(1.0, 10.0, 3.0), operations=("+", "/"), num_records=20
    )
    groups = grouping(run)
    assert (groups.colour, groups.values, groups.is_ordered) == ("weight_decay", ("1.0", "3.0", "10.0"), True)
    assert (groups.facet, groups.facets) == ("operation", ("+", "/"))
    titles = [panel.title for panel in figures(run)[0].panels]
    assert titles == [f"{s}, operation {o}" for s in ("training", "validation") for o in "+/"]
    assert grouping(grokking_run(tmp_path, num_records=20)).colour is None


def test_zipped_fields_are_not_spread_over_panels(tmp_path: Path) -> None:
    run = grokking_run(tmp_path, num_seeds=3, weight_decays=(1.0, 10.0), num_records=20)
    zipped = run.members.with_columns(learning_rate=pl.col("weight_decay") / 1000)
    groups = grouping(FakeRun(**{**run.__dict__, "members": zipped}))
    assert (groups.colour, groups.facet, groups.pooled) == ("weight_decay", None, ("learning_rate",))


def test_events_lie_on_their_curves_with_their_intervals(five: FakeRun) -> None:
    table = pl.DataFrame(figures(five)[0].tables["val_accuracy_events"])
    expected = five.events.filter(name="generalisation")
    for column in ("step", "low", "high"):
        assert table[column].to_list() == expected[column].to_list()
    for member, step, value in table.select("member", "step", "value").iter_rows():
        curve = five.metrics.filter(member=member).sort("step")
        steps = curve["step"].to_numpy()
        k = int(np.searchsorted(steps, step))
        low, high = sorted(curve["val_accuracy"].to_list()[k - 1 : k + 1])
        assert low <= value <= high


def test_diverged_members_end_in_a_cross_at_their_last_finite_value(
    many: FakeRun, many_figures: list[FigureSpec]
) -> None:
    table = pl.DataFrame(many_figures[0].tables["val_accuracy_diverged"])
    diverged = many.members.filter(outcome="diverged")
    assert sorted(table["member"]) == sorted(diverged["member"])
    member, step, value = table.select("member", "step", "value").row(0)
    finite = many.metrics.filter((pl.col("member") == member) & pl.col("val_accuracy").is_finite())
    assert (step, value) == finite.sort("step").select("step", "val_accuracy").row(-1)
    loss = next(spec for spec in many_figures if spec.name == "loss")
    top = loss.panels[0].y.domain
    assert top is not None
    assert top[1] < 1e3  # the last loss of a diverged member is 1e12, the others stay below 20
    assert "lie on its edge" in loss.caption


def test_not_measured_is_left_out_and_not_finite_stays(many_figures: list[FigureSpec]) -> None:
    measures = next(spec for spec in many_figures if spec.name == "measures")
    values = measures.tables["gradient_norm"]["value"]
    assert None not in values
    assert any(math.isnan(v) for v in values if isinstance(v, float))


def test_nothing_measured_gives_no_figure_and_three_records_give_some(tmp_path: Path) -> None:
    assert figures(short_run(tmp_path, values=False)) == []
    names = [spec.name for spec in figures(short_run(tmp_path))]
    assert names == ["accuracy", "events", "loss", "measures"]


def test_the_timeline_shows_every_member_and_what_was_not_reached(
    many: FakeRun, many_figures: list[FigureSpec]
) -> None:
    timeline = next(spec for spec in many_figures if spec.name == "events")
    second = many.events.filter(name="generalisation")
    assert len(timeline.tables["generalised"]["step"]) == second["step"].count()
    censored = second.filter(censored="right").sort("member")
    shown = pl.DataFrame(timeline.tables["not_reached"]).filter(event="generalisation")
    assert sorted(shown["step"]) == sorted(censored["low"])
    rows = [row for table in timeline.tables.values() for row in table["row"]]
    assert len(set(rows)) == 200
