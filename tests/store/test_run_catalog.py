"""Listing, finding and joining runs."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from epochal.core.values.errors import UserError
from epochal.store import RunDirectory, find_run, list_runs, load_many, save_state

Make = Callable[..., RunDirectory]


def outcomes(*names: str) -> pl.DataFrame:
    ids = [f"id{n}" for n in range(len(names))]
    return pl.DataFrame({"member": range(len(names)), "member_id": ids, "outcome": list(names)})


def test_a_listing_says_what_became_of_each_run(make_run: Make, tmp_path: Path) -> None:
    members = outcomes("finished", "finished", "diverged", "finished", "diverged")
    with make_run("images-dfa-00000001", members=members) as run:
        with run.record_writer(0) as writer:
            writer.append([{"member": 0, "step": 0}])
        run.finish()
    make_run("algorithmic-00000002", environment={"started_utc": "2026-01-01T01:00:00+01:00"}).close()
    with make_run("algorithmic-00000003", spec={"preset": None}) as run:
        for pack, steps in ((0, (1500, 2000)), (1, (900, 1200))):
            for step in steps:
                save_state(run.paths.resume, pack, step, {}, {}, record_offset=0)
    with make_run("algorithmic-00000004"):
        (tmp_path / "runs" / "notes").mkdir()
        table = list_runs(tmp_path / "runs")
    rows = {row["name"]: row for row in table.to_dicts()}
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "images-dfa-00000001": "3 finished, 2 diverged",
        "algorithmic-00000002": "interrupted at step 0",
        "algorithmic-00000003": "interrupted at step 1200",
        "algorithmic-00000004": "running",
    }
    assert table["name"][0] == "algorithmic-00000002"
    assert rows["algorithmic-00000002"]["created"] == datetime(2026, 1, 1, tzinfo=UTC)
    first = rows["images-dfa-00000001"]
    folder = tmp_path / "runs" / first["name"]
    assert first["size_bytes"] == sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert (first["members"], first["max_steps"], first["experiment"]) == (5, 2000, "algorithmic")
    assert [rows[name]["preset"] for name in sorted(rows)] == ["demo", None, "demo", "demo"]


def test_runs_that_cannot_be_read_are_listed_with_the_reason(make_run: Make, tmp_path: Path) -> None:
    with make_run("a-00000001") as sound, make_run("b-00000002") as other, make_run("c-00000003") as future:
        sound.finish()
        other.paths.members.write_bytes(b"PAR1")
        future.paths.spec.write_text('{"format": 9}')
    table = list_runs(tmp_path / "runs").sort("name")
    assert table["outcome"][0] == "2 running"
    assert (
        table["outcome"][1].startswith("unreadable: ") and "members.parquet is damaged" in table["outcome"][1]
    )
    assert "has format 9" in table["outcome"][2]


def test_no_runs_at_all(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "runs").schema == list_runs(tmp_path).schema
    assert list_runs(tmp_path / "runs").is_empty()
    with pytest.raises(UserError, match="there are no runs in"):
        find_run("x", tmp_path / "runs")


def test_a_thousand_runs_are_listed(make_run: Make, tmp_path: Path) -> None:
    run = make_run("m-00000000")
    run.close()
    parts = {path.name: path.read_bytes() for path in run.path.iterdir()}
    other = tmp_path / "members.parquet"  # other columns in another order, other dtypes
    outcomes("finished").select("outcome", pl.lit("x").alias("member"), "member_id").write_parquet(other)
    for number in range(1, 1000):
        path = tmp_path / "runs" / f"m-{number:08x}"
        path.mkdir()
        for name, data in parts.items():
            (path / name).write_bytes(other.read_bytes() if name == other.name and number % 2 else data)
        (path / "DONE").touch()
    table = list_runs(tmp_path / "runs")
    assert table.height == 1000
    assert table["outcome"].value_counts().sort("count").rows() == [
        ("interrupted at step 0", 1), ("2 running", 499), ("1 finished", 500)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("images-a-11111111", "images-a-11111111"),
        ("images-a", "images-a"),
        ("22222222", "images-b-22222222"),
        ("s-b-", "images-b-22222222"),
        ("algo", "algorithmic-22222222-33333333"),
        ("33333333", "algorithmic-22222222-33333333"),
    ],
)
def test_part_of_a_name_finds_the_run(make_run: Make, tmp_path: Path, text: str, name: str) -> None:
    for each in ("images-a-11111111", "images-a", "images-b-22222222", "algorithmic-22222222-33333333"):
        make_run(each).close()
    assert find_run(text, tmp_path / "runs") == tmp_path / "runs" / name
    assert find_run(tmp_path / "runs" / name, tmp_path / "elsewhere") == tmp_path / "runs" / name


def test_what_fits_no_run_or_several_names_the_nearest(make_run: Make, tmp_path: Path) -> None:
    for number in range(7):
        make_run(f"images-{number:08x}").close()
    make_run("algorithmic-demo-abcdef01").close()
    with pytest.raises(UserError, match=r"'images' fits 7 runs: images-00000000, .* and 2 more; give more"):
        find_run("images", tmp_path / "runs")
    with pytest.raises(
        UserError, match=r"no run 'algoritmic-demo' in .*; nearest: algorithmic-demo-abcdef01, "
    ):
        find_run("algoritmic-demo", tmp_path / "runs")
    with pytest.raises(UserError, match=r"fits|no run"):
        find_run("", tmp_path / "runs")


def two_runs(make_run: Make) -> None:
    """One with seeds as its axis and finished, one with rates and at work; other columns, other dtypes."""
    fields: dict[str, Any] = {"seed": {"axis": [7, 8]}, "learning_rate": 1, "optimiser": "adamw", "width": 8}
    with make_run("a-00000001", spec={"fields": fields, "varied": ["seed"]}) as run:
        with run.record_writer(0) as writer:
            writer.append({"member": m, "step": s, "val_loss": m + s / 3} for m in (0, 1) for s in (0, 3))
        run.finish()
    fields = {"seed": 9, "learning_rate": {"axis": [0.1, 0.2]}, "optimiser": "sgd", "width": 8}
    members = pl.DataFrame({"member": [0, 1], "member_id": ["c", "d"], "learning_rate": [0.1, 0.2]})
    schema = {"member": "int64", "step": "int64", "angle": "list[float64]", "val_loss": "int64"}
    spec = {"fields": fields, "varied": ["learning_rate"]}
    with (
        make_run("b-00000002", spec=spec, members=members, schema=schema) as run,
        run.record_writer(0) as writer,
    ):
        writer.append([{"member": 1, "step": 0, "angle": [90.0], "val_loss": 4}])


def test_many_runs_are_one_table(make_run: Make, tmp_path: Path) -> None:
    two_runs(make_run)
    table = load_many(tmp_path / "runs").collect()
    names = ["run", "member", "step", "val_loss", "angle", "member_id", "seed", "learning_rate", "optimiser"]
    a, b = "a-00000001", "b-00000002"
    assert table.select(names).rows() == [
        (a, 0, 0, 0.0, None, "a0", 7, 1.0, "adamw"),
        (a, 0, 3, 1.0, None, "a0", 7, 1.0, "adamw"),
        (a, 1, 0, 1.0, None, "b1", 8, 1.0, "adamw"),
        (a, 1, 3, 2.0, None, "b1", 8, 1.0, "adamw"),
        (b, 1, 0, 4.0, [90.0], "d", 9, 0.2, "sgd"),
    ]
    assert "width" not in table.columns
    assert table["outcome"].unique().to_list() == ["running"]


def test_many_runs_by_glob_by_list_and_not_at_all(make_run: Make, tmp_path: Path) -> None:
    two_runs(make_run)
    runs = tmp_path / "runs"
    assert load_many(f"{runs}/a-*").collect()["run"].unique().to_list() == ["a-00000001"]
    assert load_many([runs / "b-00000002", runs]).collect().height == 5
    with pytest.raises(UserError, match=r"no run fits .*z\*; `epochal ls`"):
        load_many(f"{runs}/z*")


def test_a_finished_run_is_read_only_when_collected(make_run: Make, tmp_path: Path) -> None:
    two_runs(make_run)
    plan = load_many(tmp_path / "runs" / "a-00000001")
    (tmp_path / "runs" / "a-00000001" / "metrics.parquet").unlink()
    with pytest.raises(FileNotFoundError):
        plan.collect()
