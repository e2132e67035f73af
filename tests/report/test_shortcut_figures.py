"""Figures of groups and of examples: every drawn number is planted."""

from pathlib import Path

import polars as pl
import pytest

from epochal.core.values.errors import UserError
from epochal.report import figures
from epochal.report.figures import page_figures
from epochal.report.files import figure_svg
from epochal.report.reading import RunLike
from epochal.store.paths import RunPaths
from epochal.store.probe_tables import ProbeTable
from tests.report.runs import ENVIRONMENT, EVENT_SCHEMA, FakeRun, short_run

FIELDS = {"cue": "patch", "patch_size": 1, "patch_place": "bottom_right", "seed": {"axis": [0, 1, 2]}}


def planted(path: Path, **fields: object) -> FakeRun:
    """Three seeds; member m is right on m / 10 of conflicting examples at step 0, .5 more at step 20."""
    rows = [
        {
            "member": m,
            "step": step,
            "epoch": step / 10,
            "aligned_accuracy": 0.9,
            "conflicting_accuracy": m / 10 + step / 40,
            "worst_group_accuracy": 0.0 if step else float("nan"),
            "group_accuracy": [m / 10, 1.0, 0.2, float("nan")],
        }
        for m in range(3)
        for step in (0, 20)
    ]
    members = pl.DataFrame(
        {"member": [0, 1, 2], "member_id": ["a", "b", "c"], "seed": [0, 1, 2], "outcome": "finished",
         "outcome_step": 20, "outcome_reason": None}
    )  # fmt: skip
    return FakeRun(
        path=path, name="planted", metrics=pl.DataFrame(rows), members=members,
        events=pl.DataFrame(schema=EVENT_SCHEMA), environment=ENVIRONMENT,
        spec={"experiment": "images", "fields": FIELDS | fields, "command": "c"},
    )  # fmt: skip


def with_images(run: FakeRun) -> RunLike:
    """Two examples of 2 x 2 at two steps, of member 1: dark but for one pixel, looked at in another."""
    paths = RunPaths(run.path)
    paths.run.mkdir(parents=True, exist_ok=True)
    columns = ("image_brightness", "image_saliency", "image_shape", "image_facts")
    table = ProbeTable(
        paths=paths, name="saliency_maps", digest="aaaa", columns=dict.fromkeys(columns, "list[float64]"),
        about={"options": {}},
    )  # fmt: skip
    image, look = [0.0, 1.0, 0.0, 0.0] * 2, [0.0, 0.0, 0.0, 1.0] * 2
    table.write(
        pl.DataFrame(
            {
                "member": [1, 1], "step": [0, 20], "epoch": [0.0, 2.0], "image_brightness": [image, image],
                "image_saliency": [look, look[::-1]], "image_shape": [[2.0, 2.0, 2.0]] * 2,
                "image_facts": [[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 1.0, 1.0, 1.0]],
            }
        )
    )  # fmt: skip
    return run


def test_groups_are_medians_over_seeds_of_what_was_recorded(tmp_path: Path) -> None:
    spec = figures.find("groups").of(planted(tmp_path), {})
    medians = list(zip(*spec.tables["medians_0"].values(), strict=True))
    assert ("cue agrees", 0, 0.9) in medians and ("cue disagrees", 20, 0.6) in medians
    assert ("worst group", 20, 0.0) in medians and not any(row[:2] == ("worst group", 0) for row in medians)
    assert len(spec.tables["members_0"]["line"]) == 3 * (2 + 2 + 1)
    assert "<path" in figure_svg(spec, width=3.25, font=8.0)
    every = figures.find("groups").of(planted(tmp_path), {"which": "groups"})
    assert ("target 0, cue disagrees", 20, 0.1) in list(zip(*every.tables["medians_0"].values(), strict=True))
    classes = figures.find("groups").of(planted(tmp_path, cue="none"), {"which": "groups"})
    assert set(classes.tables["medians_0"]["what"]) == {"target 0", "target 1", "target 2"}
    assert "target 1, cue agrees" not in every.tables["medians_0"]["what"], "no such examples: NaN"


def test_the_pixels_lie_where_they_are_in_the_image_and_the_frame_around_the_cue(tmp_path: Path) -> None:
    run = with_images(planted(tmp_path))
    spec = figures.find("examples").of(run, {"member": "1", "num": "2"})
    cells = list(zip(*spec.tables["cells"].values(), strict=True))
    assert len(cells) == 2 * 3 * 4
    assert cells[1] == (0.5, 1.0, 0.5, 1.0, 1.0), "the first row of an image is its upper one"
    assert spec.tables["words"]["text"] == ["1, cue 0", "0: 0", "20: 1", "1, cue 1", "0: 1", "20: 1"]
    first = [column[0] for column in spec.tables["frames"].values()]
    assert first == [0.5, 1.0, 0.0, 0.5], "the lower right quarter"
    assert "<path" in figure_svg(spec, width=3.25, font=8.0)
    whole = figures.find("examples").of(
        with_images(planted(tmp_path, cue="tint")), {"member": "1", "num": "1"}
    )
    assert not whole.tables["frames"]["left"]


def test_what_is_not_there_is_told_with_the_remedy(tmp_path: Path) -> None:
    for name, command in (("groups", "groups"), ("examples", "saliency_maps")):
        with pytest.raises(UserError, match=f"epochal probe .* {command}"):
            figures.find(name).of(short_run(tmp_path), {})
    run = with_images(planted(tmp_path))
    with pytest.raises(UserError, match="no images of member 0, only of"):
        figures.find("examples").of(run, {})
    with pytest.raises(UserError, match="num=3 is not 1 to 2"):
        figures.find("examples").of(run, {"member": "1", "num": "3"})
    assert "groups" in [spec.name for spec in page_figures(planted(tmp_path / "other"))]
