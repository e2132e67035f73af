"""What is compiled to Vega-Lite is valid, complete and reads right."""

import json
import math
import re
from pathlib import Path
from typing import Any, Literal

import pytest
import vl_convert

from epochal.core.values.figure import Axis, Colour, FigureSpec, Layer, Panel, Shades, Table
from epochal.report.axes import domain_of, tick_label, ticks
from epochal.report.charts import figure_chart, legend_values, palette, vega_lite
from epochal.report.figures import page_figures as figures
from tests.report.runs import grokking_run


def test_step_axes_read_0_1_10_100_1k_10k() -> None:
    named = {mark: name for mark, name in ticks(0, 20_000, "symlog").items() if name}
    assert named == {0: "0", 1: "1", 10: "10", 100: "100", 1000: "1k", 10_000: "10k"}
    assert 5000.0 in ticks(0, 20_000, "symlog")


def test_many_decades_get_few_labels_and_few_get_multiples() -> None:
    assert sum(map(bool, ticks(1e-30, 1e3, "log").values())) <= 9
    assert [name for name in ticks(0.2, 3, "log").values() if name] == ["0.2", "0.5", "1", "2"]
    assert ticks(3.1, 3.4, "log") == {}


@pytest.mark.parametrize(
    ("value", "label"),
    [(0.1, "0.1"), (0.02, "0.02"), (1e-6, "1e-6"), (2e6, "2M"), (5e9, "5G"), (1e15, "1e15"), (-1000, "-1k")],
)
def test_tick_labels(value: float, label: str) -> None:
    assert tick_label(value) == label


def test_log_domains_leave_out_what_has_no_logarithm() -> None:
    assert domain_of([[0.0, -1.0, 1e-3, None, math.nan, math.inf, 5]], "log") == (1e-3, 5.0)
    assert domain_of([[None, math.nan]], "linear") == (0.0, 1.0)


def test_altair_accepts_curves_and_timeline(tmp_path: Path) -> None:
    run = grokking_run(tmp_path, num_seeds=3, diverging=0.5, num_records=12)
    for spec in figures(run)[:2]:
        figure_chart(spec)  # raises where the schema of Vega-Lite is broken


def test_nan_and_infinities_become_null(many_drawn: list[FigureSpec]) -> None:
    for spec in many_drawn:
        text = json.dumps(vega_lite(spec), allow_nan=False)
        assert json.loads(text)


def test_200_members_are_200_lines_five_medians_and_a_legend_of_five(many_drawn: list[FigureSpec]) -> None:
    chart = vega_lite(many_drawn[0])
    train, validation = (panel for row in chart["vconcat"] for panel in row["hconcat"])
    kinds = [layer["mark"]["type"] for layer in validation["layer"]]
    assert kinds == ["area", "line", "line", "point"]
    lines, medians = validation["layer"][1:3]
    assert len({row["member"] for row in chart["datasets"][lines["data"]["name"]]}) == 200
    assert len({row["colour"] for row in chart["datasets"][medians["data"]["name"]]}) == 5
    assert lines["mark"]["strokeOpacity"] < 0.2 < medians["mark"]["strokeOpacity"]
    assert medians["encoding"]["color"]["legend"]["values"] == ["0.1", "0.3", "1.0", "3.0", "10.0"]
    assert train["layer"][1]["encoding"]["x"]["axis"]["title"] == "step (completed updates)"


def test_every_mark_draws() -> None:
    table: Table = {"x": [1.0, 2.0], "y": [1.0, 3.0], "z": [2.0, 4.0], "name": ["a", "b"]}
    layers = [
        Layer(mark="line", table="t", x="x", y="y"),
        Layer(mark="band", table="t", x="x", y="y", y2="z"),
        Layer(mark="interval", table="t", x="x", y="y", y2="z", colour="name"),
        Layer(mark="rule", table="t", x="x"),
        Layer(mark="rule", table="t", y="y"),
        Layer(mark="text", table="t", x="x", y="y", text="name"),
        *(
            Layer(mark="point", table="t", x="x", y="y", shape=shape)
            for shape in ("dot", "ring", "cross", "arrow")
        ),
    ]
    panel = Panel(x=Axis(label="lag", scale="log"), y=Axis(label="share"), layers=tuple(layers))  # fmt: skip
    colour = Colour(title="arm", values=("a", "b"))
    spec = FigureSpec(name="f", title="", caption="", tables={"t": table}, panels=(panel,), colour=colour)
    config: dict[str, Any] = {}
    assert vl_convert.vegalite_to_svg(vega_lite(spec), config=config).count("<path") >= 10
    figure_chart(spec)


@pytest.mark.parametrize(
    ("scale", "low", "values"), [("linear", 0.0, (0.4, 0.6)), ("log", 0.01, (0.09, 0.11))]
)
def test_text_on_shades_can_be_read(
    scale: Literal["linear", "log"], low: float, values: tuple[float, float]
) -> None:
    """Light below the middle of the scale, dark above it; the colour of text elsewhere."""
    table: Table = {"x": ["a", "b"], "value": values, "text": ["low", "high"]}
    layers = (
        Layer(mark="cell", table="t", x="x", y="x", colour="value"),
        Layer(mark="text", table="t", x="x", y="x", text="text", colour="value"),
    )
    axis = Axis(label="", scale="category")
    spec = FigureSpec(
        name="f", title="", caption="", tables={"t": table}, panels=(Panel(x=axis, y=axis, layers=layers),),
        colour=Shades(title="", domain=(low, 1.0), scale=scale),
    )  # fmt: skip
    drawn = vl_convert.vegalite_to_svg(vega_lite(spec), config={})
    fills = {word: re.search(rf'<text[^>]*fill="([^"]*)"[^>]*>{word}<', drawn) for word in ("low", "high")}
    assert [found and found[1] for found in fills.values()] == ["#fff", "#222"]


def test_long_ordered_scales_are_named_in_part_and_coloured_in_full() -> None:
    colour = Colour(title="weight_decay", values=tuple(str(i) for i in range(48)), ordered=True)
    assert len(set(palette(colour))) == 48
    named = legend_values(colour)
    assert len(named) == 8
    assert (named[0], named[-1]) == ("0", "47")
