"""Thinned curves look the same: extremes, gaps and error on the panel's own scale."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from epochal.core.values.figure import Axis, FigureSpec, Layer, Panel, Table
from epochal.report.thinning import (
    MAX_POINTS,
    MIN_POINTS,
    TOLERANCE,
    TOTAL_POINTS,
    thin,
    thinned,
)
from tests.report.runs import FakeRun


def test_a_straight_line_needs_its_ends_only() -> None:
    x = np.linspace(0, 1, 1000)
    assert thin(x, 0.2 + 0.5 * x, 500).tolist() == [0, 999]


def test_smooth_curves_stay_within_the_tolerance() -> None:
    x = np.linspace(0, 1, 5000)
    y = 0.5 + 0.5 * np.tanh(40 * (x - 0.6))
    kept = thin(x, y, MAX_POINTS)
    assert len(kept) < 60
    assert np.abs(np.interp(x, x[kept], y[kept]) - y).max() <= TOLERANCE


def test_noise_is_cut_to_the_budget_and_keeps_its_extremes() -> None:
    y = np.random.default_rng(1).normal(size=20_000)
    kept = thin(np.linspace(0, 1, y.size), y, 100)
    assert len(kept) == 100
    assert {int(y.argmin()), int(y.argmax()), 0, y.size - 1} <= set(kept.tolist())


def test_a_spike_of_one_record_survives_a_small_budget() -> None:
    y = np.random.default_rng(2).normal(0, 0.01, size=10_000)
    y[1234] = 0.9
    assert 1234 in thin(np.linspace(0, 1, y.size), y, 10)


def test_the_largest_value_of_a_steep_noisy_curve_stays() -> None:
    # It lies close to the line between the ends, so distance alone would not choose it.
    y = np.linspace(0, 10, 2000) + np.random.default_rng(3).normal(0, 0.05, size=2000)
    assert {int(y.argmin()), int(y.argmax())} <= set(thin(np.linspace(0, 1, y.size), y, 6).tolist())


def test_gaps_stay_gaps() -> None:
    y = np.zeros(100)
    y[40:50], y[90:] = np.nan, np.inf
    kept = thin(np.linspace(0, 1, 100), y, 500)
    assert kept.tolist() == [0, 39, 40, 49, 50, 89, 90, 99]


@pytest.mark.parametrize("values", [[], [np.nan], [1.0], [np.nan, np.nan]])
def test_short_and_empty_curves_pass(values: list[float]) -> None:
    y = np.array(values)
    assert len(thin(np.arange(len(values), dtype=float), y, 10)) == len(values)


def test_the_error_is_measured_on_the_axis_scale() -> None:
    # Straight on a log axis, so two points will do there and many are needed on a linear one.
    x = [float(i) for i in range(200)]
    table = {"x": x, "y": [10 ** (-v / 20) for v in x]}
    for scale, most, least in (("log", 2, 2), ("linear", 200, 10)):
        panel = Panel(
            x=Axis(label="x"),
            y=Axis(label="y", scale="log" if scale == "log" else "linear"),
            layers=(Layer(mark="line", table="t", x="x", y="y"),),
        )
        drawn = thinned(FigureSpec(name="f", title="", caption="", tables={"t": table}, panels=(panel,)))
        assert least <= len(drawn.tables["t"]["x"]) <= most


def test_every_member_of_200_keeps_its_extremes_within_its_share(
    many: FakeRun, many_drawn: list[FigureSpec]
) -> None:
    table = many_drawn[0].tables["val_accuracy"]
    share = max(MIN_POINTS, TOTAL_POINTS // 200)
    # A gap's two sides come on top of the share: they are what breaks the line.
    assert max(Counter(table["member"]).values()) <= share + 2
    assert len(set(table["member"])) == 200
    for member in (0, 57, 199):
        full = many.metrics.filter(member=member)["val_accuracy"].to_numpy()
        drawn = np.array(
            [v for m, v in zip(table["member"], table["value"], strict=True) if m == member], dtype=float
        )
        assert np.nanmin(drawn) == np.nanmin(full)
        assert np.nanmax(drawn) == np.nanmax(full)


def test_curves_of_two_panels_are_thinned_apart() -> None:
    # Taken as one curve, the second panel's way back to step 0 would be a straight line without a corner.
    steps, panels = [0.0, 1.0, 2.0], ("+", "/")
    table: Table = {"step": steps * 2, "median": [0.5] * 6, "facet": [p for p in panels for _ in steps]}
    layer = Layer(mark="line", table="t", x="step", y="median")
    drawn = tuple(
        Panel(x=Axis(label="step"), y=Axis(label="median"), layers=(replace(layer, where=("facet", p)),))
        for p in panels
    )
    spec = thinned(FigureSpec(name="f", title="", caption="", tables={"t": table}, panels=drawn))
    assert list(spec.tables["t"]["step"]) == [0.0, 2.0, 0.0, 2.0]
