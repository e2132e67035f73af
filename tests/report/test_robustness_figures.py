"""Figures of robustness, local complexity and the LLC, and its section of a page: all numbers are planted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from epochal.core.values.errors import UserError
from epochal.core.values.figure import FigureSpec
from epochal.report import figures
from epochal.report.coefficient_rows import calibration_lines, coefficient_sections
from epochal.report.figures import page_figures
from epochal.report.files import figure_svg
from epochal.report.page import page
from epochal.report.thinning import thinned
from epochal.store.documents import write_json
from epochal.store.paths import RunPaths
from epochal.store.probe_tables import ProbeTable
from tests.report.runs import FakeRun, grokking_run

RADII = [0.1, 0.5]
OPTIONS = {"local_complexity@train.radius": RADII, "local_complexity@random.radius": RADII}
STEPS = [0, 10, 100]


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    """Two radii and three layers: units of layer l at radius r are 100 r + l + step / 1000."""
    plain = grokking_run(tmp_path / "run", num_seeds=3)
    place = pl.col("step") / 1000
    units = [100 * radius + layer + place for radius in RADII for layer in (1, 2, 3)]
    totals = [pl.lit(300 * radius) + 6 + 3 * place for radius in RADII]
    metrics = plain.metrics.with_columns(
        (pl.col("val_accuracy") / 2).alias("robust_accuracy"),
        *(pl.concat_list(units).alias(f"local_complexity@{split}") for split in ("train", "random")),
        *(pl.concat_list(totals).alias(f"local_complexity_total@{split}") for split in ("train", "random")),
    )
    spec: dict[str, Any] = {**plain.spec, "fields": {**plain.spec["fields"], "probe_options": OPTIONS}}
    return replace(plain, metrics=metrics, spec=spec)


def measured(
    run: FakeRun, *, settled: list[float], more: dict[str, list[float]] | None = None, **options: object
) -> FakeRun:
    """A table of the probe ``llc`` on snapshots of one member."""
    paths = RunPaths(run.path)
    paths.run.mkdir(parents=True, exist_ok=True)
    columns = {
        "llc": [2.0, 5.0, float("nan")],
        "llc_standard_error": [0.1, 0.5, float("nan")],
        "llc_rhat": [1.001, 1.2, float("nan")],
        "llc_ess": [200.0, 20.0, float("nan")],
        "llc_equilibrated": settled,
        **(more or {}),
    }
    table = ProbeTable(
        paths=paths, name="llc", digest="aaaa", columns=dict.fromkeys(columns, "float64"),
        about={"options": options},
    )  # fmt: skip
    table.write(pl.DataFrame({"member": [0] * 3, "step": STEPS, "epoch": [0.0] * 3, **columns}))
    return run


def rows(spec: FigureSpec, table: str) -> list[dict[str, Any]]:
    return pl.DataFrame(dict(spec.tables[table]), strict=False).to_dicts()


def test_robust_accuracy_stands_beside_clean_and_above_complexity(run: FakeRun) -> None:
    spec = figures.find("robustness").of(run, {})
    assert [panel.title for panel in spec.panels] == [
        "accuracy", "local complexity, radius 0.1", "local complexity, radius 0.5",
    ]  # fmt: skip
    last = max(row["step"] for row in rows(spec, "accuracy"))
    at = {r["colour"]: r["value"] for r in rows(spec, "accuracy") if (r["member"], r["step"]) == (1, last)}
    assert at["robust"] == at["validation"] / 2 and set(at) == {"training", "validation", "robust"}
    found = rows(spec, "complexity_1")
    assert {r["colour"] for r in found} == {"train points", "random points"}
    assert all(r["value"] == pytest.approx(156 + 3 * r["step"] / 1000) for r in found)
    assert len(figures.find("robustness").of(run, {"radius": "0.5"}).panels) == 2
    with pytest.raises(UserError, match=r"radius=3 was not measured by .*; it has 0\.1, 0\.5"):
        figures.find("robustness").of(run, {"radius": "3"})


def test_complexity_has_a_panel_per_points_and_radius_and_a_colour_per_layer(run: FakeRun) -> None:
    spec = figures.find("complexity").of(run, {})
    assert [panel.title for panel in spec.panels] == [
        f"{kind} points, radius {radius}: {of}"
        for radius in RADII for of in ("total", "each layer") for kind in ("train", "random")
    ]  # fmt: skip
    assert spec.per_row == 2 and {panel.y.unit for panel in spec.panels} == {"units"}
    for row in rows(spec, "train_0_total"):
        assert row["value"] == pytest.approx(36 + 3 * row["step"] / 1000)
    for row in rows(spec, "random_1"):
        assert row["value"] == pytest.approx(50 + int(row["colour"]) + row["step"] / 1000)
    one = figures.find("complexity").of(run, {"points": "train", "radius": "0.1", "y": "log"})
    assert len(one.panels) == 2 and {panel.y.scale for panel in one.panels} == {"log"}
    total = figures.find("complexity").of(run, {"show": "total", "radius": "0.5"})
    assert [panel.title for panel in total.panels] == ["train points: total", "random points: total"]
    with pytest.raises(UserError, match="points=test were not measured"):
        figures.find("complexity").of(run, {"points": "test"})


def test_bands_of_complexity_are_the_interval_of_one_member_or_the_middle_half_of_many(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = {"local_complexity_layer_error@train": [0.5 * n for n in range(1, 7)],
              "local_complexity_error@train": [2.0, 30.0]}  # fmt: skip
    metrics = run.metrics.with_columns(
        pl.concat_list(map(pl.lit, values)).alias(name) for name, values in errors.items()
    )
    few = replace(run, metrics=metrics.filter(pl.col("member") < 2))
    spec = figures.find("complexity").of(few, {})
    assert "95% interval" in spec.caption
    for row in rows(spec, "train_1_intervals"):  # radius 0.5: places 3 to 5
        assert row["high"] - row["value"] == pytest.approx(1.96 * 0.5 * (3 + int(row["colour"])))
        assert row["value"] - row["low"] == pytest.approx(row["high"] - row["value"])
    for row in rows(spec, "train_1_total_intervals"):
        assert row["high"] - row["value"] == pytest.approx(58.8)
    # 36 units and an error of 2 at the smaller radius; random points have no errors, so no band.
    assert {row["low"] for row in rows(spec, "train_0_total_intervals") if row["step"] == 0} == {32.08}
    marks = {panel.title: [layer.mark for layer in panel.layers] for panel in spec.panels}
    assert marks["train points, radius 0.1: each layer"] == ["band", "line"]
    assert marks["random points, radius 0.1: each layer"] == ["line"]
    many = figures.find("complexity").of(replace(run, metrics=metrics), {})
    assert "middle half" in many.caption and not any(name.endswith("_intervals") for name in many.tables)
    assert {layer.mark for panel in many.panels for layer in panel.layers} == {"band", "line"}
    monkeypatch.setattr("epochal.report.figures.complexity.MOST_LINES", 8)  # three members of three layers
    fewer = figures.find("complexity").of(replace(run, metrics=metrics), {})
    assert "none where they would be more than 8." in fewer.caption and "more than" not in many.caption
    drawn = {panel.title: [layer.table for layer in panel.layers] for panel in fewer.panels}
    assert drawn["train points, radius 0.1: each layer"] == ["train_0_medians"] * 2


def test_changes_have_a_panel_and_intervals_of_their_own(run: FakeRun) -> None:
    more = {"llc_change": [float("nan"), 3.0, 1.0], "llc_change_error": [float("nan"), 0.1, float("nan")]}
    spec = figures.find("llc").of(measured(run, settled=[1.0, 0.0, 0.0], more=more), {})
    assert "its changes" in [panel.title for panel in spec.panels]
    [change] = rows(spec, "changes")  # the first snapshot has none before it, the last no error
    assert (change["step"], change["value"]) == (10, 3.0)
    assert [change["low"], change["high"]] == pytest.approx([3 - 0.196, 3 + 0.196])


def test_the_coefficient_has_its_interval_and_says_where_chains_had_not_settled(run: FakeRun) -> None:
    spec = figures.find("llc").of(measured(run, settled=[1.0, 0.0, 0.0]), {})
    assert [r["low"] for r in rows(spec, "llc")] == pytest.approx([2 - 0.196, 5 - 0.98])
    assert [r["high"] for r in rows(spec, "llc")] == pytest.approx([2 + 0.196, 5 + 0.98])
    assert [r["step"] for r in rows(spec, "settled")] == [0]
    assert [r["step"] for r in rows(spec, "unsettled")] == [10]
    assert "1 more had no finite value" in spec.caption


def test_the_page_tells_settings_calibration_and_verdict(run: FakeRun) -> None:
    assert coefficient_sections(run) == [] and 'id="llc"' not in page(run, [])
    measured(run, settled=[1.0, 0.0, 0.0], chains=4, step_size=1e-5, gamma=100.0, n_beta=None)
    (section,) = coefficient_sections(run)
    assert section["verdict"].startswith("partly equilibrated: chains had settled in 1 of 3")
    assert section["settings"] == "chains = 4, step_size = 1e-05, gamma = 100"
    assert [row["verdict"] for row in section["rows"]] == ["equilibrated"] + 2 * ["not equilibrated"]
    text = page(run, [])
    assert 'id="llc"' in text and "This run was not calibrated." in text and "were not fixed" not in text
    write_json(
        run.path / "calibration.json",
        {"member": 0, "step": 100, "settings": {"step_size": 1e-5}, "reasons": ["because"],
         "estimate": {"chains_say": "3.1 +- 0.1"}},
    )  # fmt: skip
    assert calibration_lines(run)[0] == "Calibrated on member 0 at step 100: step_size = 1e-05."
    assert "because." in page(run, []) and "3.1 +- 0.1" in page(run, [])


def test_the_page_says_why_a_number_is_no_estimate_and_shows_it_in_brackets(run: FakeRun) -> None:
    measured(
        run,
        settled=[0.0, 0.0, 0.0],
        more={
            "llc_chains": [4.0] * 3,
            "llc_diverged": [1.0, 0.0, 4.0],
            "llc_step_bias": [0.02, 0.25, float("nan")],
        },
    )
    (section,) = coefficient_sections(run)
    assert [row["numbers"][0] for row in section["rows"]] == ["(2)", "(5)", "(nan)"]
    assert [row["reasons"] for row in section["rows"]] == [
        ["1 of 4 chains diverged"],
        [
            "R-hat 1.200 is above 1.05: chains disagree",
            "20 effective draws are fewer than 25 per chain: sample longer",
            "its steps make it up to 25% too high: take a smaller step_size, or sampler=mala",
        ],
        ["every chain diverged"],
    ]
    text = page(run, [])
    assert "not equilibrated" in text and "up to 25% too high" in text and "(5)" in text


def test_a_table_of_an_earlier_version_has_the_reasons_that_it_has_columns_for(run: FakeRun) -> None:
    (section,) = coefficient_sections(measured(run, settled=[1.0, 0.0, 0.0]))
    assert section["rows"][0]["numbers"][0] == "2" and section["rows"][0]["reasons"] == []
    assert section["rows"][1]["reasons"][0] == "R-hat 1.200 is above 1.05: chains disagree"


def test_values_of_steps_of_their_own_do_not_compare(run: FakeRun) -> None:
    measured(run, settled=[0.0, 0.0, 0.0], chains=4)
    text = page(run, [])
    assert "not equilibrated: chains had settled in none of 3" in text and "epochal calibrate" in text


def test_pages_draw_them_where_they_were_measured(run: FakeRun, tmp_path: Path) -> None:
    names = {"robustness", "complexity", "llc"}
    specs = {spec.name: spec for spec in page_figures(measured(run, settled=[1.0, 1.0, 0.0]))}
    assert names <= set(specs)
    assert all(figure_svg(thinned(specs[name])).startswith("<svg") for name in names)
    bare = grokking_run(tmp_path / "bare", num_seeds=3)
    assert not names & {spec.name for spec in page_figures(bare)}
    for name, remedy in (("robustness", "train with probes="), ("complexity", "train with probes="),
                         ("llc", "epochal probe")):  # fmt: skip
        with pytest.raises(UserError, match=remedy):
            figures.find(name).of(bare, {})
