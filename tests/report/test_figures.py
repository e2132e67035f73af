"""Every figure is declared and draws; the numbers of those over varied fields are counted by hand."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
import pytest

from epochal.core.values.errors import UserError
from epochal.core.values.figure import FigureSpec, Shades
from epochal.report import figures
from epochal.report.against import FieldScale, field_axis, middle, places
from epochal.report.charts import figure_chart
from epochal.report.figures import page_figures
from epochal.report.figures.phase import CLASSES
from epochal.report.files import figure_svg
from epochal.report.several import together
from epochal.report.thinning import thinned
from tests.report.runs import FakeRun, event, grokking_run, short_run

NEEDS_SITES = {"norms", "robustness", "complexity", "llc"}
"""Drawn in ``test_norms.py`` and ``test_robustness_figures.py``."""
NEEDS_A_FIELD = {"phase", "final", "steps-to-threshold", "best-accuracy"}
NEEDS_PROBES = {"spectrum", "circle", "progress", "examples", "groups", "calibration", "traces"}
"""Drawn in the files of tests that are named after them or after what they are about."""
STEPS = [0, 10, 20, 40, 80, 160]


def planted(path: Path, reached: Sequence[tuple[dict[str, object], int | None, int | None]]) -> FakeRun:
    """Members with fields, whose accuracies rise from 0.1 to 1 at a record, or never."""
    base = short_run(path)
    curves, members, events = [], [], []
    for number, (fields, train, val) in enumerate(reached):
        columns = {
            name: [1.0 if at is not None and step >= at else 0.1 for step in STEPS]
            for name, at in (("train_accuracy", train), ("val_accuracy", val))
        }
        curves.append(pl.DataFrame({"member": number, "step": STEPS, "epoch": [0.0] * 6, **columns}))
        ended = {"outcome": "finished", "outcome_step": 160, "outcome_reason": ""}
        members.append({"member": number, "member_id": f"{number:08x}", **fields, **ended})
        for name, at in (("memorisation", train), ("generalisation", val)):
            events.append(event(number, name, "val_accuracy", None if at is None else float(at), 160.0))
    changed = {
        "metrics": pl.concat(curves),
        "members": pl.DataFrame(members),
        "events": pl.DataFrame(events, schema=base.events.schema),
    }
    return FakeRun(**{**base.__dict__, **changed})


def grid(path: Path) -> FakeRun:
    """Two fields, two seeds a cell: comprehension, grokking, one of each extreme, confusion."""
    cells: dict[tuple[float, str], list[tuple[int | None, int | None]]] = {
        (0.1, "x"): [(10, 10), (10, 20)],
        (0.1, "y"): [(10, 80), (10, 160)],
        (1.0, "x"): [(10, None), (10, 20)],
        (1.0, "y"): [(None, None), (None, None)],
    }
    return planted(
        path,
        [
            ({"weight_decay": decay, "operation": operation, "seed": seed}, *cell)
            for (decay, operation), both in cells.items()
            for seed, cell in enumerate(both)
        ],
    )


def rows(spec: FigureSpec, table: str) -> list[dict[str, object]]:
    return pl.DataFrame(dict(spec.tables[table]), strict=False).to_dicts()


NEEDS_EVENTS = ("aligned", "lags", "power")


@pytest.mark.parametrize("name", sorted(set(figures.names()) - NEEDS_SITES))
def test_it_is_declared_and_draws(name: str, tmp_path: Path, five: FakeRun, many: FakeRun) -> None:
    figure = figures.find(name)
    assert figure.name == name and figure.meaning and figure.draw.__module__.endswith(name.replace("-", "_"))
    assert all(field.description for field in figure.options.model_fields.values())
    if name in NEEDS_PROBES:
        return
    small = grid(tmp_path) if name in NEEDS_A_FIELD else five if name in NEEDS_EVENTS else short_run(tmp_path)
    figure_chart(figure.of(small, {}))  # raises where the schema of Vega-Lite is broken
    for run in [small] if name == "phase" else [small, many] if name in NEEDS_A_FIELD else [small, five]:
        spec = thinned(figure.of(run, {}))
        for width, font in ((None, None), (3.25, 8.0)):
            svg = figure_svg(spec, width=width, font=font)
            assert "<path" in svg and "undefined" not in svg and "NaN" not in svg


def test_adding_a_figure_needs_its_file_only() -> None:
    folder = Path(figures.__file__ or "").parent
    files = {path.stem.replace("_", "-") for path in folder.glob("[!_]*.py")}
    assert files == set(figures.names())


def test_classes_are_the_median_of_their_members(tmp_path: Path) -> None:
    spec = figures.find("phase").of(grid(tmp_path), {"x": "weight_decay", "y": "operation"})
    found = {(row["x"], row["y"]): row for row in rows(spec, "cells")}
    assert {cell: row["phase"] for cell, row in found.items()} == {
        ("0.1", "x"): "comprehension",
        ("0.1", "y"): "grokking",
        ("1", "x"): "memorisation",  # the lower of memorisation and comprehension
        ("1", "y"): "confusion",
    }
    assert [found["1", "x"][name] for name in CLASSES] == [0, 1, 0, 1]
    assert [(row["x"], row["y"]) for row in rows(spec, "mixed")] == [("1", "x")]
    assert "reached 0.9 at some record" in spec.caption and "more than 2 times" in spec.caption
    late = figures.find("phase").of(grid(tmp_path), {"ratio": "20"})
    assert "grokking" not in {row["phase"] for row in rows(late, "cells")}
    strict = figures.find("phase").of(grid(tmp_path), {"threshold": "1.5"})
    assert {row["phase"] for row in rows(strict, "cells")} == {"confusion"}


def test_a_cell_that_half_did_not_reach_is_censored(tmp_path: Path) -> None:
    spec = figures.find("phase").of(grid(tmp_path), {"value": "generalisation"})
    assert {(row["weight_decay"], row["operation"]): row["value"] for row in rows(spec, "cells")} == {
        (0.1, "x"): 15.0,
        (0.1, "y"): 120.0,
    }
    censored = {(row["weight_decay"], row["operation"]): row["reached"] for row in rows(spec, "censored")}
    assert censored == {(1.0, "x"): 1, (1.0, "y"): 0}
    assert isinstance(spec.colour, Shades) and spec.colour.domain == (15.0, 120.0)
    delay = figures.find("phase").of(grid(tmp_path), {"value": "delay"})
    assert [row["value"] for row in rows(delay, "cells")] == [5.0, 110.0]
    column = figures.find("phase").of(grid(tmp_path), {"value": "train_accuracy"})
    assert sorted(str(row["value"]) for row in rows(column, "cells")) == ["0.1", "1.0", "1.0", "1.0"]


def test_a_grid_has_its_phases_on_the_page_and_a_list_has_not(tmp_path: Path) -> None:
    assert "phase" in {spec.name for spec in page_figures(grid(tmp_path))}
    zipped = grid(tmp_path)
    paired = zipped.members.filter((pl.col("weight_decay") == 0.1) == (pl.col("operation") == "x"))
    assert "phase" not in {s.name for s in page_figures(FakeRun(**{**zipped.__dict__, "members": paired}))}


def test_steps_to_a_threshold_are_first_records(many: FakeRun) -> None:
    spec = figures.find("steps-to-threshold").of(many, {"threshold": "0.5", "columns": "val_accuracy"})
    decays = dict(many.members.select("member", "weight_decay").iter_rows())
    steps: dict[int, float] = {}
    for member, step, value in many.metrics.select("member", "step", "val_accuracy").iter_rows():
        if value >= 0.5:
            steps[member] = min(step, steps.get(member, math.inf))
    ends = dict(many.metrics.group_by("member").agg(pl.col("step").max()).iter_rows())
    points = [*rows(spec, "reached"), *rows(spec, "not_reached")]
    assert sorted(int(str(row["member"])) for row in points) == list(range(200))
    for row in points:
        member = int(str(row["member"]))
        assert row["step"] == steps.get(member, ends[member])
        assert (row["state"] == "reached") == (member in steps)
    for row in rows(spec, "medians"):
        group = [steps.get(m, math.inf) for m, decay in decays.items() if decay == row["value"]]
        assert row["median"] == median(group)
        assert row["reached"] == sum(map(math.isfinite, group))


def test_a_median_that_was_not_reached_breaks_the_line(tmp_path: Path) -> None:
    spec = figures.find("steps-to-threshold").of(grid(tmp_path), {"x": "weight_decay", "panels": "operation"})
    assert [panel.title for panel in spec.panels] == ["operation x", "operation y"]
    medians = {
        (r["value"], r["curve"], r["facet"]): (r["median"], r["low"], r["high"])
        for r in rows(spec, "medians")
    }
    assert medians[1.0, "validation", "x"] == (math.inf, 20.0, math.inf)
    assert medians[0.1, "validation", "y"] == (120.0, 80.0, 160.0)
    assert medians[1.0, "training", "y"] == (math.inf, math.inf, math.inf)


def test_bars_without_an_upper_end_run_off_the_panel(tmp_path: Path) -> None:
    """Two members a place: reached by both, by one, by none, whose records end at 160."""
    spec = figures.find("steps-to-threshold").of(grid(tmp_path), {"x": "weight_decay", "panels": "operation"})
    top = (spec.panels[0].y.domain or (0.0, 0.0))[1]
    assert top > 160 and "runs off the top has no upper end" in spec.caption
    bars = {(r["value"], r["curve"], r["facet"]): (r["low"], r["high"]) for r in rows(spec, "bars")}
    assert bars[0.1, "validation", "y"] == (80.0, 160.0)
    assert bars[1.0, "validation", "x"] == (20.0, top)
    assert bars[1.0, "training", "y"] == bars[1.0, "validation", "y"] == (160.0, top)


def test_a_single_member_of_a_panel_is_drawn_as_strong_as_medians(tmp_path: Path) -> None:
    """Three seeds at one decay, two at another, one at a third."""
    planned: list[tuple[dict[str, object], int | None, int | None]] = [
        ({"weight_decay": decay, "seed": seed}, 10, 40)
        for decay, num in ((0.1, 1), (0.5, 2), (1.0, 3))
        for seed in range(num)
    ]
    spec = figures.find("accuracy").of(
        planted(tmp_path, planned), {"panels": "weight_decay", "colour": "none"}
    )
    drawn: dict[int, set[str]] = {}
    for layer in (layer for panel in spec.panels for layer in panel.layers if layer.by == "member"):
        table, (column, kept) = spec.tables[layer.table], layer.also or ("", "")
        for member, strength in zip(table["member"], table[column], strict=True):
            if strength == kept:
                drawn.setdefault(int(str(member)), set()).add(layer.emphasis)
    assert [drawn[m] for m in range(6)] == [{"strong"}, {"plain"}, {"plain"}, {"faint"}, {"faint"}, {"faint"}]


def test_triangles_upon_each_other_are_counted(tmp_path: Path) -> None:
    fields = {0.3: (0, 1), 0.5: (2, 3), 0.7: (3, 3)}
    planned: list[tuple[dict[str, object], int | None, int | None]] = [
        ({"train_fraction": f, "seed": i}, 10 if i < train else None, 20 if i < val else None)
        for f, (train, val) in fields.items()
        for i in range(3)
    ]
    spec = figures.find("steps-to-threshold").of(planted(tmp_path, planned), {})
    counts = rows(spec, "counts")
    # At 0.5 a single triangle is there: nothing to count.
    assert [(row["count"], row["step"]) for row in counts] == [("×3,2", 160.0)]
    last = [r["x"] for r in rows(spec, "not_reached") if r["value"] == 0.3 and r["curve"] == "validation"]
    assert counts[0]["x"] == last[0] and len(last) == 2


@pytest.mark.parametrize(
    ("which", "expected"), [("last", 3.0), ("best", 1.0), ("lowest", 1.0), ("highest", 9.0)]
)
def test_the_final_value_is_last_best_or_at_an_end(tmp_path: Path, which: str, expected: float) -> None:
    run = grid(tmp_path)
    losses = [5.0, 9.0, 1.0, 4.0, 3.0, math.nan] * 8
    metrics = run.metrics.with_columns(val_loss=pl.Series(losses), size=1.0)
    with_loss = FakeRun(**{**run.__dict__, "metrics": metrics})
    spec = figures.find("final").of(with_loss, {"column": "val_loss", "value": which, "y": "log"})
    assert {row["value"] for row in rows(spec, "members")} == {expected}
    with pytest.raises(UserError, match="value=best is not known for size"):
        figures.find("final").of(with_loss, {"column": "size", "value": "best"})


@pytest.mark.parametrize("n", range(1, 60))
def test_the_interval_of_a_median_is_that_of_order_statistics(n: int) -> None:
    """k is the largest rank whose interval has 95% by the binomial distribution; the range without one."""
    values = list(np.random.default_rng(n).permutation(n).astype(float))
    centre, low, high = middle(values)
    assert centre == median(values)
    covers = {k: sum(math.comb(n, i) for i in range(k, n - k + 1)) / 2**n for k in range(1, (n + 1) // 2 + 1)}
    good = [k for k, share in covers.items() if share >= 0.95]
    k = max(good, default=1)
    assert (low, high) == (k - 1.0, n - 1.0 - (k - 1))


def test_lines_stand_side_by_side_inside_the_axis() -> None:
    values = [0.01, 0.1, 1.0]
    scales: tuple[FieldScale, ...] = ("log", "linear")
    for scale in scales:
        axis = field_axis("f", values, scale)
        drawn = [list(places(values, axis, line, 3).values()) for line in range(3)]
        flat = [float(str(x)) for at in zip(*drawn, strict=True) for x in at]
        assert flat == sorted(flat) and len(set(flat)) == 9
        assert axis.domain is not None and axis.domain[0] < flat[0] and flat[-1] < axis.domain[1]
    assert field_axis("f", [0.0, 0.01, 0.1, 1.0], "auto").scale == "category"
    assert field_axis("f", [1e-3, 1.0], "auto").scale == "log"
    assert field_axis("f", [0.3, 0.4], "auto").scale == "linear"


def test_several_runs_are_one_population(tmp_path: Path) -> None:
    first = grokking_run(tmp_path, num_seeds=2, num_records=20)
    decays = {"fields": {**first.spec["fields"], "weight_decay": 3.0}}
    second = FakeRun(**{**first.__dict__, "name": "algorithmic-demo-9", "spec": {**first.spec, **decays}})
    both = together([first, second])
    assert both.members["weight_decay"].to_list() == [1.0, 1.0, 3.0, 3.0]
    assert both.members["member"].to_list() == [0, 1, 2, 3]
    for start, run in ((0, first), (2, second)):
        for table, whole in ((run.metrics, both.metrics), (run.events, both.events)):
            part = whole.filter(pl.col("member").is_between(start, start + 1))
            assert part.with_columns(pl.col("member") - start).equals(table.select(part.columns))
    spec = figures.find("accuracy").of(both, {})
    assert spec.colour is not None and spec.colour.title == "weight_decay"
    assert together([first]) is first


def test_runs_that_no_field_tells_apart_are_told_apart_by_name(tmp_path: Path) -> None:
    first = grokking_run(tmp_path, num_seeds=2, num_records=20)
    second = FakeRun(**{**first.__dict__, "name": "algorithmic-demo-99"})
    both = together([first, second])
    assert both.members["run"].to_list() == ["abcdef01"] * 2 + ["99"] * 2
    other = FakeRun(**{**second.__dict__, "spec": {**first.spec, "experiment": "images"}})
    assert "run" in together([first, other]).members.columns
    many = {f"field_{i}": i for i in range(4)}
    changed = FakeRun(**{**second.__dict__, "spec": {**first.spec, "fields": first.spec["fields"] | many}})
    base = FakeRun(
        **{**first.__dict__, "spec": {**first.spec, "fields": first.spec["fields"] | dict.fromkeys(many, -1)}}
    )
    assert "field_0" not in together([base, changed]).members.columns


BAD = [
    ("accuracy", {"colour": "nonsense"}, "nonsense does not vary in .*: its members differ in"),
    ("accuracy", {"x": "lgo"}, "x=lgo is not allowed: x is log or linear"),
    ("accuracy", {"xx": "log"}, "figure accuracy has no option xx: did you mean 'x'"),
    ("measures", {"columns": "weight_nrom"}, "no column weight_nrom"),
    (
        "phase",
        {"value": "generalization"},
        "value=generalization is unknown to .*did you mean 'generalisation'",
    ),
    ("phase", {"x": "seed", "y": "seed"}, "are one field"),
    ("phase", {"threshold": "high"}, "threshold=high is not allowed: threshold is a number"),
    ("final", {"column": "val_acuracy"}, "no column val_acuracy"),
    ("final", {"x": "operation", "x_scale": "log"}, "x_scale=log needs numbers"),
    ("steps-to-threshold", {"columns": ","}, "columns= is empty"),
]


@pytest.mark.parametrize(("name", "settings", "message"), BAD)
def test_what_cannot_be_drawn_is_one_line(
    name: str, settings: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as error:
        figures.find(name).of(grid(tmp_path), settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted(NEEDS_A_FIELD))
def test_a_run_without_a_varied_field_says_what_to_run(name: str, five: FakeRun) -> None:
    with pytest.raises(UserError, match=r"varies no field besides seeds; x=auto needs one: run a grid"):
        figures.find(name).of(five, {})


def test_colours_can_be_told_apart_by_colour_blind_readers() -> None:
    """Distance in CIELAB after Machado et al. 2009's simulation of full dichromacy (their table 1)."""
    from epochal.report.charts import HUES

    protan = "0.152286 1.052583 -0.204868 0.114503 0.786281 0.099216 -0.003882 -0.048116 1.051998"
    deutan = "0.367322 0.860646 -0.227968 0.280085 0.672501 0.047413 -0.011820 0.042940 0.968881"
    for numbers in (protan, deutan):
        matrix = np.array(numbers.split(), dtype=float).reshape(3, 3)
        seen = [lab(matrix @ linear(hue)) for hue in HUES]
        assert min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)) > 8


def linear(hue: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    c = np.array([int(hue[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
