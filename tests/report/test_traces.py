"""Traces of chains: planted draws, means of neighbours, and what is said where there are none."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from epochal.core.values.errors import UserError
from epochal.report import figures
from epochal.report.figures.traces import MOST_POINTS
from epochal.report.files import figure_svg
from epochal.store.paths import RunPaths
from epochal.store.probe_tables import ProbeTable
from tests.report.runs import FakeRun, short_run


def kept(path: Path, *, draws: int, digest: str = "aaaa") -> FakeRun:
    """Draw t of chain c at step s is s + 10 c + t."""
    run = short_run(path)
    paths = RunPaths(run.path)
    paths.run.mkdir(parents=True, exist_ok=True)
    table = ProbeTable(paths=paths, name="llc", digest=digest, columns={"llc": "float64"}, about={})
    table.write(pl.DataFrame({"member": [0, 0], "step": [0, 5], "epoch": [0.0, 1.0], "llc": [1.0, 2.0]}))
    chains = 10 * np.arange(3)[:, None] + np.arange(draws)[None, :]
    table.write_kept({(0, step): {"llc_traces": step + chains} for step in (0, 5)})
    return run


def test_every_draw_of_every_chain_is_drawn(tmp_path: Path) -> None:
    spec = figures.find("traces").of(kept(tmp_path, draws=4), {})
    assert [panel.title for panel in spec.panels] == ["step 0", "step 5"]
    table = spec.tables["step_5"]
    assert list(table["draw"]) == [1, 2, 3, 4] * 3 and list(table["chain"]) == [
        c for c in "012" for _ in range(4)
    ]
    assert list(table["value"]) == [5 + 10 * chain + draw for chain in range(3) for draw in range(4)]
    svg = figure_svg(spec)
    assert "<path" in svg and "NaN" not in svg and "undefined" not in svg


def test_of_many_draws_neighbours_are_averaged(tmp_path: Path) -> None:
    spec = figures.find("traces").of(kept(tmp_path, draws=MOST_POINTS + 1), {"panels": "1"})
    (table,) = spec.tables.values()
    assert list(table["value"])[:2] == [0.5, 2.5] and list(table["draw"])[:2] == [1.5, 3.5]
    assert list(table["draw"])[MOST_POINTS // 2] == MOST_POINTS + 1, "the last draw stands alone"
    assert "mean of 2 draws" in spec.caption


def test_what_is_not_there_is_said_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no traces: measure its snapshots with `epochal probe"):
        figures.find("traces").of(short_run(tmp_path / "none"), {})
    run = kept(tmp_path / "one", draws=4)
    with pytest.raises(UserError, match="traces of member 0, none of member 3"):
        figures.find("traces").of(run, {"member": "3"})
    kept(tmp_path / "one", draws=4, digest="bbbb")
    with pytest.raises(UserError, match="in 2 tables; choose one with table=: llc-aaaa, llc-bbbb"):
        figures.find("traces").of(run, {})
    assert figures.find("traces").of(run, {"table": "bbbb"}).name == "traces"
