"""Figures as files, and the numbers behind them."""

import io
import math
import re
from pathlib import Path

import polars as pl
import pytest

from epochal.core.values.figure import FigureSpec
from epochal.report.figures import page_figures as figures
from epochal.report.files import as_csv, figure_svg, save_figure
from tests.report.runs import FakeRun


def test_every_format_is_written_and_holds_something(written: Path, five: FakeRun) -> None:
    folder = written.parent / "figures"
    for spec in figures(five):
        for kind, magic in (("svg", b"<svg "), ("pdf", b"%PDF-"), ("png", b"\x89PNG\r\n\x1a\n")):
            data = (folder / f"{spec.name}.{kind}").read_bytes()
            assert data.startswith(magic)
            assert len(data) > 4000
    assert not list(folder.glob(".*"))


def test_csv_holds_every_row_and_every_digit(written: Path, five: FakeRun) -> None:
    frame = pl.read_csv(written.parent / "figures" / "accuracy-val_accuracy.csv")
    expected = five.metrics.select("member", "step", "val_accuracy").sort("member", "step")
    assert frame["value"].to_list() == expected["val_accuracy"].to_list()
    assert frame["step"].to_list() == expected["step"].to_list()
    assert set(frame["label"]) == {f"seed {i}" for i in range(5)}


def test_csv_tells_not_measured_from_not_finite() -> None:
    text = as_csv({"value": [1.5, None, math.nan, math.inf], "name": ["a,b", None, '"', "x"]}).decode()
    assert text.splitlines()[1:] == ['1.5,"a,b"', ",", 'NaN,""""', "inf,x"]
    assert pl.read_csv(io.StringIO(text))["value"].null_count() == 1


@pytest.mark.parametrize("width", [3.25, 6.5])
def test_the_width_is_that_of_the_whole_figure(many_drawn: list[FigureSpec], width: float) -> None:
    measures = many_drawn[-1]
    assert len(measures.panels) == 2
    svg = figure_svg(measures, width=width, font=8)
    found = re.search(r'<svg[^>]* width="([0-9.]+)"', svg)
    assert found
    assert float(found[1]) == pytest.approx(72 * width, abs=3)
    assert 'font-size="8px"' in svg


def test_only_the_asked_formats(five: FakeRun, tmp_path: Path) -> None:
    timeline = figures(five)[1]
    paths = save_figure(timeline, tmp_path / "new", formats=["svg"])
    assert {p.name for p in paths} == {p.name for p in (tmp_path / "new").iterdir()}
    assert {p.suffix for p in paths} == {".svg", ".csv"}
