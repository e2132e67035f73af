"""Figures over many settings: panels by field, best and final values, chosen members, phases as published."""

from pathlib import Path

import polars as pl
import pytest

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, FigureSpec, Layer, Panel
from epochal.report import figures
from epochal.report.against import WIDEST, field_axis, places
from epochal.report.charts import vega_lite
from epochal.report.figures import page_figures
from epochal.report.figures.phase import classes_of
from epochal.report.files import figure_svg
from epochal.report.reading import fields_of
from epochal.report.selecting import only
from epochal.report.settings import settings_of
from epochal.report.thinning import thinned
from tests.report.runs import FakeRun
from tests.report.test_figures import planted, rows


def nine(path: Path) -> FakeRun:
    """Three optimisers by three rates by three fractions, three seeds; adam collapses at the largest rate."""
    members: list[tuple[dict[str, object], int | None, int | None]] = [
        (
            {"optimizer": optimizer, "learning_rate": rate, "train_fraction": fraction, "seed": seed},
            10,
            None if fraction < 0.4 else 40,
        )
        for optimizer in ("adamw", "adam", "sgd")
        for rate in (0.1, 0.01, 0.001)
        for fraction in (0.3, 0.5, 0.8)
        for seed in range(3)
    ]
    run = planted(path, members)
    lost = run.members.filter((pl.col("optimizer") == "adam") & (pl.col("learning_rate") == 0.1))["member"]
    has_lost = pl.col("member").is_in(lost.to_list()) & (pl.col("step") == 160)
    dropped = pl.when(has_lost).then(0.25).otherwise(pl.col("val_accuracy"))
    return FakeRun(**{**run.__dict__, "metrics": run.metrics.with_columns(val_accuracy=dropped)})


def test_best_and_final_accuracy_tell_a_collapse(tmp_path: Path) -> None:
    spec = figures.find("best-accuracy").of(nine(tmp_path), {})
    assert len(spec.panels) == 9 and spec.per_row == 3
    found = {(r["setting"], r["train_fraction"], r["curve"]): r["median"] for r in rows(spec, "medians")}
    collapsed, steady = "adam, learning_rate 0.1", "adamw, learning_rate 0.1"
    assert [found[collapsed, f, "best"] for f in (0.3, 0.5, 0.8)] == [0.25, 1.0, 1.0]
    assert [found[collapsed, f, "final"] for f in (0.3, 0.5, 0.8)] == [0.25, 0.25, 0.25]
    assert [found[steady, f, "final"] for f in (0.3, 0.5, 0.8)] == [0.1, 1.0, 1.0]
    first = figures.find("best-accuracy").of(
        nine(tmp_path), {"values": "first,best", "settings": "optimizer"}
    )
    assert len(first.panels) == 3 and {
        r["value"] for r in rows(first, "members") if r["curve"] == "first"
    } == {0.1}


def test_settings_are_every_combination_in_order(tmp_path: Path) -> None:
    settings = list(dict.fromkeys(settings_of(nine(tmp_path), besides=["train_fraction"]).values()))
    assert settings[:3] == [f"adamw, learning_rate {rate}" for rate in ("0.001", "0.01", "0.1")]
    assert len(settings) == 9
    with pytest.raises(UserError, match=r"has 27 settings of .*, more than 24 panels: keep some with --only"):
        settings_of(nine(tmp_path), besides=[])


def test_steps_to_a_threshold_have_a_panel_per_setting(tmp_path: Path) -> None:
    spec = figures.find("steps-to-threshold").of(
        nine(tmp_path), {"panels": "settings", "x": "train_fraction"}
    )
    assert len(spec.panels) == 9 and "Pooled" not in spec.caption and "triangles" in spec.caption
    row = next(r for r in rows(spec, "medians") if (r["value"], r["curve"]) == (0.3, "validation"))
    assert row["median"] == float("inf") and (row["members"], row["reached"]) == (3, 0)
    assert "steps-to-threshold" in {s.name for s in page_figures(nine(tmp_path))}


def test_a_setting_with_one_place_on_the_axis_is_no_curve(tmp_path: Path) -> None:
    run = nine(tmp_path)
    lone = (
        (pl.col("optimizer") != "sgd") | (pl.col("learning_rate") != 0.1) | (pl.col("train_fraction") == 0.5)
    )
    members = run.members.filter(lone)
    metrics = run.metrics.filter(pl.col("member").is_in(members["member"].to_list()))
    fewer = FakeRun(**{**run.__dict__, "members": members, "metrics": metrics})
    for name, options in (("best-accuracy", {}), ("steps-to-threshold", {"panels": "settings"})):
        spec = figures.find(name).of(fewer, {**options, "x": "train_fraction"})
        assert len(spec.panels) == 8 and "sgd, learning_rate 0.1" not in {p.title for p in spec.panels}
        assert spec.caption.endswith("3 members are left out: alone in a setting with one train_fraction.")
    # Where no setting has more than one place, points are all there is to draw.
    single = FakeRun(**{**run.__dict__, "members": run.members.filter(pl.col("train_fraction") == 0.5)})
    settings = settings_of(single, besides=[], fields=["optimizer"], along=dict.fromkeys(range(81), 0.5))
    assert len(settings) == 27


def test_chosen_members_lose_the_fields_in_which_they_agree(tmp_path: Path) -> None:
    run = nine(tmp_path)
    some = only(run, {"optimizer": "adamw", "learning_rate": "0.1,1e-3"})
    assert set(some.members["learning_rate"]) == {0.1, 0.001} and "optimizer" not in some.members.columns
    assert set(some.metrics["member"]) == set(some.members["member"]) == set(some.events["member"])
    assert only(run, {}) is run
    for wanted, message in (
        ({"optimizer": "lion"}, "--only optimizer=lion: no member of .* has it; there is adamw, adam, sgd"),
        ({"width": "3"}, "width does not vary in"),
    ):
        with pytest.raises(UserError, match=message):
            only(run, wanted)


def test_a_field_that_all_members_share_keeps_all_or_none(tmp_path: Path) -> None:
    run = nine(tmp_path)
    run = FakeRun(**{**run.__dict__, "spec": {**run.spec, "fields": {"model": "transformer", "modulus": 97}}})
    assert len(only(run, {"model": "transformer", "modulus": "97"}).members) == len(run.members)
    # A field in which those that are left agree is one that all share: it can be read, and asked for again.
    one = only(run, {"optimizer": "adamw", "seed": "2"})
    member = one.members["member"][0]
    assert (fields_of(run, member)["modulus"], fields_of(one, member)["optimizer"]) == (97, "adamw")
    assert only(one, {"optimizer": "adamw"}).members.height == one.members.height
    with pytest.raises(UserError, match=r"--only modulus=31: no member of .* has it; there is 97"):
        only(run, {"modulus": "31"})


def test_curves_have_a_panel_per_value_of_a_field(tmp_path: Path) -> None:
    run = only(nine(tmp_path), {"optimizer": "adam", "learning_rate": "0.1"})
    spec = figures.find("accuracy").of(run, {"panels": "train_fraction"})
    assert [p.title for p in spec.panels] == [f"train_fraction {f}" for f in (0.3, 0.5, 0.8)]
    assert spec.colour and spec.colour.values == ("training", "validation")  # type: ignore[union-attr]
    drawn = [r["median"] for r in rows(spec, "val_accuracy_median") if r["facet"] == "0.5"]
    assert drawn == [0.1, 0.1, 0.1, 1.0, 1.0, 0.25]
    both = figures.find("accuracy").of(nine(tmp_path), {"panels": "optimizer", "colour": "train_fraction"})
    assert len(both.panels) == 6 and "Pooled: learning_rate" in both.caption
    none = figures.find("accuracy").of(nine(tmp_path), {"panels": "none", "colour": "train_fraction"})
    assert len(none.panels) == 2
    for options, message in (
        ({"panels": "optimizer", "colour": "optimizer"}, "are one field"),
        ({"panels": "nonsense"}, "nonsense does not vary"),
    ):
        with pytest.raises(UserError, match=message):
            figures.find("accuracy").of(nine(tmp_path), options)


@pytest.mark.parametrize("size", [(None, None), (7.0, 8.0), (3.25, 8.0)])
def test_nine_panels_fit_a_page_and_a_column(size: tuple[float | None, float | None], tmp_path: Path) -> None:
    for name, options in (("best-accuracy", {}), ("steps-to-threshold", {"panels": "settings"})):
        spec = thinned(figures.find(name).of(nine(tmp_path), {**options}))
        assert "NaN" not in figure_svg(spec, width=size[0], font=size[1])


def test_classes_may_be_told_by_steps_as_in_liu_et_al(tmp_path: Path) -> None:
    """Liu et al. 2022, table 1: grokking where validation is learned 1,000 or more steps later."""
    fields: list[tuple[int | None, int | None]] = [(10, 20), (80, 160), (10, 160), (20, None), (None, None)]
    run = planted(tmp_path, [({"seed": i}, *cell) for i, cell in enumerate(fields)])
    by_delay = classes_of(run, 0.9, 2.0, delay=80)
    names = ["comprehension", "grokking", "grokking", "memorisation", "confusion"]
    assert list(by_delay.values()) == names
    by_ratio = classes_of(run, 0.9, 2.0)
    assert by_ratio[1] == "comprehension" and by_ratio[2] == "grokking"
    two = FakeRun(**{**run.__dict__, "members": run.members.with_columns(width=pl.col("seed") % 2)})
    about = {"x": "seed", "y": "width"}
    [panel] = figures.find("phase").of(two, about).panels
    assert panel.title == "learned: accuracy ≥ 0.9, grokking: validation > 2 × training steps"
    published = {**about, "delay": "1000", "within": "1e5", "threshold": "0.8"}
    [panel] = figures.find("phase").of(two, published).panels
    words = "learned: accuracy ≥ 0.8 by step 100,000, grokking: validation ≥ 1,000 steps later"
    assert panel.title == words
    early = classes_of(run, 0.9, 2.0, delay=80, within=100)
    assert list(early.values()) == [
        "comprehension",
        "memorisation",
        "memorisation",
        "memorisation",
        "confusion",
    ]


def test_lines_side_by_side_stay_near_their_value() -> None:
    axis = field_axis("f", [0.0, 1.0], "linear")
    left, right = (places([0.0, 1.0], axis, line, 2)[0.0] for line in range(2))
    assert float(str(right)) - float(str(left)) == pytest.approx(WIDEST / 2)


def test_a_long_title_is_broken_behind_commas_to_its_panel() -> None:
    panel = Panel(
        x=Axis(label="x"),
        y=Axis(label="y"),
        layers=(Layer(mark="line", table="t", x="x", y="y"),),
        title="adamw, learning_rate 0.001, dropout 0.1",
    )
    spec = FigureSpec(name="f", title="", caption="", tables={"t": {"x": [1], "y": [2]}}, panels=(panel,))

    def title(width: float) -> object:
        return vega_lite(spec, panel_width=width, font_px=10)["vconcat"][0]["hconcat"][0]["title"]["text"]

    assert title(330) == panel.title
    assert title(180) == ["adamw, learning_rate 0.001,", "dropout 0.1"]
    assert title(60) == ["adamw,", "learning_rate 0.001,", "dropout 0.1"]
