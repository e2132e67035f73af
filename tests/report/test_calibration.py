"""The map of a calibration: every cell and mark is planted."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Shades
from epochal.report import figures
from epochal.report.figures import page_figures
from epochal.report.files import figure_svg
from tests.report.runs import FakeRun, short_run

STEPS, BETAS = (1e-3, 5e-4), (10.0, 30.0)


def calibrated(path: Path, **settings: Any) -> FakeRun:
    """Four cells: one has diverged, one has not settled."""
    run = short_run(path)
    cells: list[dict[str, Any]] = [
        {"step_size": step, "n_beta": beta, "llc": beta / 10 + step, "standard_error": 0.1,
         "equilibrated": True, "diverged": 0}
        for beta in BETAS for step in STEPS
    ]  # fmt: skip
    cells[2] |= {"llc": None, "standard_error": None, "equilibrated": False, "diverged": 2}
    cells[1] |= {"equilibrated": False}
    content = {
        "member": 0, "step": 1000, "map": cells,
        "settings": {"step_size": 5e-4, "n_beta": 30.0, "gamma": 7.0,
                     "draws": 500, "burn_in": 200} | settings,
        "acceptance": [{"step_size": 1e-3, "acceptance": 0.7}, {"step_size": 5e-4, "acceptance": 0.95}],
        "estimate": {"equilibrated": True},
    }  # fmt: skip
    run.path.mkdir(parents=True, exist_ok=True)
    (run.path / "calibration.json").write_text(json.dumps(content))
    return run


def test_cells_marks_and_the_choice_are_those_of_the_file(tmp_path: Path) -> None:
    run = calibrated(tmp_path)
    spec = figures.find("calibration").of(run, {})
    tables = {name: pl.DataFrame(dict(table), strict=False) for name, table in spec.tables.items()}
    assert tables["map"].select("step", "n_beta", "llc").rows() == [
        ("0.001", "10", 1.001), ("0.0005", "10", 1.0005), ("0.0005", "30", 3.0005)
    ]  # fmt: skip
    assert tables["none"].select("step", "n_beta", "diverged").rows() == [("0.001", "30", 2)]
    assert tables["unsettled"].select("step", "n_beta").rows() == [("0.0005", "10"), ("0.001", "30")]
    assert tables["chosen"].select("step", "n_beta").rows() == [("0.0005", "30")]
    assert tables["acceptance"]["acceptance"].to_list() == [0.7, 0.95]
    assert spec.panels[0].x.order == ("0.0005", "0.001") and spec.panels[0].y.order == ("10", "30")
    # Dark crosses on the darkest cell: the ramp begins below it.
    assert isinstance(spec.colour, Shades) and spec.colour.domain[0] < 0.6 and spec.colour.domain[1] == 3.0005
    assert "2 of 4" in spec.caption and "step 1,000" in spec.caption
    svg = figure_svg(spec)
    assert "<path" in svg and "NaN" not in svg and "undefined" not in svg
    assert [figure.name for figure in page_figures(run)].count("calibration") == 1


def test_a_step_that_was_given_has_no_ring(tmp_path: Path) -> None:
    spec = figures.find("calibration").of(calibrated(tmp_path, step_size=2e-4), {})
    assert "chosen" not in spec.tables and "lies beside the map (chosen outside it)" in spec.caption
    (tmp_path / "given").mkdir()
    run = calibrated(tmp_path / "given", step_size=2e-4)
    content = json.loads((run.path / "calibration.json").read_text()) | {"given": ["step_size"]}
    (run.path / "calibration.json").write_text(json.dumps(content))
    assert "lies beside the map (it was given)" in figures.find("calibration").of(run, {}).caption


def test_without_a_calibration_there_is_a_remedy_and_no_figure(tmp_path: Path) -> None:
    run = short_run(tmp_path)
    with pytest.raises(UserError, match="is not calibrated: epochal calibrate"):
        figures.find("calibration").of(run, {})
    assert "calibration" not in [figure.name for figure in page_figures(run)]
