"""Figures of arrays and of what was measured on snapshots: every drawn number is planted."""

import itertools
import math
from pathlib import Path

import polars as pl
import pytest

from epochal.core.values.errors import UserError
from epochal.core.values.figure import FigureSpec, Shades
from epochal.report import figures
from epochal.report.charts import PANEL_WIDTH, figure_chart, panel_json, vega_lite
from epochal.report.figures import page_figures
from epochal.report.figures.circle import readable
from epochal.report.figures.spectrum import edges_between
from epochal.report.files import figure_svg
from epochal.report.several import together
from epochal.report.thinning import thinned
from epochal.store.paths import RunPaths
from epochal.store.probe_tables import ProbeTable
from tests.report.runs import FakeRun, grokking_run

STEPS = [0, 1, 10, 100]
PRIME = 11


def measured(run: FakeRun, *, digest: str = "aaaa", members: tuple[int, ...] = (0, 1, 2)) -> FakeRun:
    """Tables as ``epochal probe`` writes them: a spectrum, a growing circle, progress measures."""
    places = [(member, step) for member in members for step in STEPS]
    keys = {"member": [m for m, _ in places], "step": [s for _, s in places], "epoch": [0.0] * len(places)}
    spectra = [[7.0, 3.0, 4.0 * (step + 1), 0.0] for _, step in places]
    tables: dict[str, dict[str, list[object]]] = {
        "embedding_spectrum": {"embedding_spectrum": [*spectra]},
        "embedding_plane": {
            "principal_1": [list(map(float, range(PRIME)))] * len(places),
            "principal_2": [[0.0] * PRIME] * len(places),
            "circle_1": [
                [(1 + s) * math.cos(2 * math.pi * k / PRIME) for k in range(PRIME)] for _, s in places
            ],
            "circle_2": [
                [(1 + s) * math.sin(2 * math.pi * k / PRIME) for k in range(PRIME)] for _, s in places
            ],
            "circle_frequency": [3.0] * len(places),
        },
        "progress_measures": {
            "restricted_loss": [10.0 - m - s / 100 for m, s in places],
            "excluded_loss": [1.0 + m + s / 100 for m, s in places],
        },
    }
    for name, columns in tables.items():
        schema = {c: "list[float64]" if isinstance(v[0], list) else "float64" for c, v in columns.items()}
        paths = RunPaths(run.path)
        paths.run.mkdir(parents=True, exist_ok=True)
        table = ProbeTable(paths=paths, name=name, digest=digest, columns=schema, about={"options": {}})
        table.write(pl.DataFrame({**keys, **columns}, strict=False))
    return run


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return measured(grokking_run(tmp_path / "a", num_seeds=3))


def rows(spec: FigureSpec, table: str) -> list[dict[str, object]]:
    return pl.DataFrame(dict(spec.tables[table]), strict=False).to_dicts()


def test_a_spectrum_is_a_gapless_heat_map_of_the_array(run: FakeRun) -> None:
    spec = figures.find("spectrum").of(run, {})
    cells = {(c["member"], c["step"], c["frequency"]): c for c in rows(spec, "cells")}
    assert set(cells) == set(itertools.product((0, 1, 2), STEPS, (1, 2, 3)))
    assert [cells[1, 0, f]["strength"] for f in (1, 2, 3)] == [3.0, 4.0, 0.0]
    assert [cells[1, 0, f]["share"] for f in (1, 2, 3)] == pytest.approx([9 / 25, 16 / 25, 0.0])
    sides = [(cells[0, s, 1]["begin"], cells[0, s, 1]["to"]) for s in STEPS]
    assert sides[0][0] == 0.0 and [a[1] for a in sides[:-1]] == [b[0] for b in sides[1:]]
    assert all(float(str(a)) <= s < float(str(b)) for (a, b), s in zip(sides, STEPS, strict=True))
    assert len(spec.panels) == 3 and isinstance(spec.colour, Shades)
    raw = figures.find("spectrum").of(run, {"value": "strength", "lowest": "0", "members": "2"})
    assert isinstance(raw.colour, Shades) and raw.colour.domain == (0.0, 404.0)
    assert {c["frequency"] for c in rows(raw, "cells")} == {0, 1, 2, 3} and len(raw.panels) == 1


def test_cells_meet_half_way_on_their_axis() -> None:
    assert edges_between([10, 20, 40], is_log=False) == [5.0, 15.0, 30.0, 50.0]
    assert edges_between([5], is_log=False) == [4.5, 5.5]
    assert edges_between([9, 99], is_log=True) == pytest.approx([10 / 10**0.5 - 1, 10**1.5 - 1, 10**2.5 - 1])


def test_arrays_that_were_recorded_come_before_tables(run: FakeRun) -> None:
    recorded = run.metrics.with_columns(
        pl.Series("embedding_spectrum", [[0.0, 5.0]] * len(run.metrics), dtype=pl.List(pl.Float64))
    )
    spec = figures.find("spectrum").of(FakeRun(**{**run.__dict__, "metrics": recorded}), {})
    assert {c["strength"] for c in rows(spec, "cells")} == {5.0}
    assert len({c["step"] for c in rows(spec, "cells")}) > len(STEPS)


def test_the_circle_has_a_square_panel_per_step(run: FakeRun) -> None:
    spec = figures.find("circle").of(run, {"steps": "first,10,last", "member": "1"})
    points = rows(spec, "points")
    assert [panel.title for panel in spec.panels] == [f"step {s}, frequency 3" for s in (0, 10, 100)]
    for point in points:
        radius = 1 + int(str(point["step"]))
        angle = 2 * math.pi * int(str(point["number"])) / PRIME
        assert (point["x"], point["y"]) == pytest.approx((radius * math.cos(angle), radius * math.sin(angle)))
    assert [p["text"] for p in points[:PRIME]] == [str(k) for k in range(PRIME)]
    for width in (PANEL_WIDTH, 120.0):
        drawn = vega_lite(thinned(spec), panel_width=width)
        assert all(p["width"] == p["height"] == width for row in drawn["vconcat"] for p in row["hconcat"])
    on_page = panel_json(spec, spec.panels[0], width="container")
    assert on_page["width"] == on_page["height"] == PANEL_WIDTH
    domains = [panel.x.domain for panel in spec.panels]
    assert domains == [panel.y.domain for panel in spec.panels] and len(set(domains)) == 3
    flat = figures.find("circle").of(run, {"plane": "principal", "steps": "last"})
    assert [p["x"] for p in rows(flat, "points")] == list(map(float, range(PRIME)))


def test_numbers_do_not_cover_each_other_or_a_point() -> None:
    assert readable([0, 0.1, 5], [0, 0, 0], room=1) == {1, 2}  # the first would cover the second point
    assert readable([0, -0.1, 0], [0, 0, 3], room=1) == {0, 2}
    assert readable([0] * 5, [0, 1, 2, 3, 4], room=0.9) == {0, 1, 2, 3, 4}


def test_progress_measures_stand_beside_the_losses(run: FakeRun) -> None:
    spec = figures.find("progress").of(run, {})
    medians = {(r["colour"], r["step"]): r["median"] for r in rows(spec, "medians")}
    for step in STEPS:
        assert medians["restricted", step] == pytest.approx(9.0 - step / 100)
        assert medians["excluded", step] == pytest.approx(2.0 + step / 100)
    losses = run.metrics.filter(pl.col("step") == 0)["val_loss"]
    assert medians["validation", 0] == pytest.approx(losses.median())
    assert spec.colour and spec.colour.values == ("training", "validation", "restricted", "excluded")  # type: ignore[union-attr]


def test_pages_have_them_where_they_were_measured(run: FakeRun, tmp_path: Path) -> None:
    names = {"spectrum", "circle", "progress"}
    assert names <= {spec.name for spec in page_figures(run)}
    bare = grokking_run(tmp_path / "bare", num_seeds=3)
    assert not names & {spec.name for spec in page_figures(bare)}


def test_several_runs_bring_their_tables(run: FakeRun, tmp_path: Path) -> None:
    second = measured(grokking_run(tmp_path / "b", num_seeds=3), members=(1,))
    both = together([run, FakeRun(**{**second.__dict__, "name": "algorithmic-other"})])
    spec = figures.find("spectrum").of(both, {})
    assert list(dict.fromkeys(r["member"] for r in rows(spec, "cells"))) == [0, 1, 2, 4]


@pytest.mark.parametrize("name", ["spectrum", "circle", "progress"])
def test_they_are_drawn_at_any_width(name: str, run: FakeRun) -> None:
    spec = figures.find(name).of(run, {})
    figure_chart(spec)
    for width, font in ((None, None), (3.25, 8.0)):
        svg = figure_svg(thinned(spec), width=width, font=font)
        assert "<path" in svg and "undefined" not in svg and "NaN" not in svg


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("spectrum", {"members": "7"}, "no spectrum of member 7, only of 0, 1, 2"),
        ("spectrum", {"lowest": "9"}, "lowest=9 is no frequency of the spectrum; it has those from 0 to 3"),
        ("spectrum", {"table": "zzz"}, "has no table zzz with embedding_spectrum: measure its snapshots"),
        ("circle", {"steps": "9"}, "steps=9 was not measured; take first, last, or a step such as 0, 1, 10"),
        ("circle", {"steps": ","}, "steps= names 0 steps"),
        ("circle", {"member": "5"}, "no plane of member 5"),
        ("progress", {"losses": "los"}, "has no column los"),
    ],
)
def test_wrong_options_are_one_line(name: str, settings: dict[str, str], message: str, run: FakeRun) -> None:
    with pytest.raises(UserError, match=message) as error:
        figures.find(name).of(run, settings)
    assert "\n" not in str(error.value)


def test_what_was_not_measured_says_how(tmp_path: Path) -> None:
    bare = grokking_run(tmp_path / "bare", num_seeds=3)
    with pytest.raises(UserError, match=r"epochal probe .* embedding_plane"):
        figures.find("circle").of(bare, {})
    twice = measured(measured(bare), digest="bbbb")
    with pytest.raises(UserError, match=r"in 2 tables; choose one with table=: embedding_plane-aaaa"):
        figures.find("circle").of(twice, {})
    assert figures.find("circle").of(twice, {"table": "bbbb"}).panels
