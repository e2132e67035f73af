"""`epochal calibrate`, what `epochal probe RUN llc` makes of it, and `epochal export --arviz`."""

import json
import sys
from pathlib import Path

import polars as pl
import pytest

from epochal.store.probe_tables import read_kept
from tests.cli.conftest import TINY, Call, Have

SNAPSHOTS = (*TINY, "snapshot_every=10", "model=mlp", "depth=1", "seed=0:2")
SHORT = ("draws=20", "burn_in=10", "chains=2")


def test_what_is_calibrated_is_used_and_told_and_can_be_overridden(call: Call, have: Have) -> None:
    run = have("algorithmic", *SNAPSHOTS)
    ended = call("calibrate", run.name, *SHORT, "gamma=30")
    assert ended.code == 0 and "chosen" in ended.out and "kept in" in ended.out
    (drawn,) = [line.split()[-1] for line in ended.out.splitlines() if line.startswith("figure")]
    assert drawn == str(run / "figures/calibration.svg") and "<svg" in Path(drawn).read_text()
    content = json.loads((run / "calibration.json").read_text())
    assert (content["step"], content["member"]) == (20, 0)
    assert content["settings"]["gamma"] == 30 and len(content["map"]) == 25
    assert content["settings"]["step_size"] <= max(row["step_size"] for row in content["acceptance"])
    # 20 draws need not settle; what they say of their steps is within the tolerance.
    assert content["tolerance"] == 0.03 and 0 <= content["estimate"]["step_bias"] <= 0.03
    assert "bias of its steps" in content["reasons"][-1] and all("step_bias" in row for row in content["map"])

    ended = call("probe", run.name, "llc", "draws=25")
    assert ended.code == 0 and "from calibration.json" in ended.out
    assert "draws" not in ended.out.split("from calibration.json")[1].splitlines()[0]
    (about,) = [json.loads(file.read_text()) for file in (run / "probes").glob("llc-*.json")]
    assert about["options"]["draws"] == 25
    assert about["options"]["step_size"] == content["settings"]["step_size"]

    (file,) = (run / "probes").glob("llc-*.parquet")
    table = pl.read_parquet(file)
    kept = read_kept(file.with_suffix(".safetensors"))
    assert set(kept) == set(table.select("member", "step").iter_rows())
    assert all(arrays["llc_traces"].shape == (2, 25) for arrays in kept.values())
    for rows in table.partition_by("member"):
        # n_beta, gamma and step size are the same at all steps: every snapshot but the first has a change.
        assert rows["llc_change"].is_null().to_list() == [True, False, False]
        step = rows["llc"].diff()[1:] - rows["llc_change"][1:]
        assert float(step.abs().max()) < 1e-3 * float(rows["llc"].abs().max())  # type: ignore[arg-type]
        assert rows["llc_change_error"][1:].is_finite().all()


def test_another_sampler_takes_no_batches_from_calibration(call: Call, have: Have) -> None:
    run = have("algorithmic", *SNAPSHOTS)
    assert call("calibrate", run.name, *SHORT, "gamma=30").code == 0
    assert json.loads((run / "calibration.json").read_text())["settings"]["batch_size"] < 256
    ended = call("probe", run.name, "llc", "sampler=mala", "--steps", "20")
    assert ended.code == 0, ended.err
    assert "gamma=30" in ended.out and "batch_size" not in ended.out


def test_settings_that_diverge_are_not_used(call: Call, have: Have) -> None:
    run = have("algorithmic", *SNAPSHOTS)
    ended = call("calibrate", run.name, *SHORT, "step_size=1e9", "gamma=30")
    assert ended.code == 2 and len(ended.complaint) == 1 and "uses it" not in ended.out
    assert "no settings were found: chain 0 diverged at step" in ended.complaint[0]
    assert "leave out step_size=1e+09" in ended.complaint[0]
    content = json.loads((run / "calibration.json").read_text())
    assert content["failure"] == content["reasons"][-1] and content["given"][-1] == "step_size"
    ended = call("probe", run.name, "llc", *SHORT, "--steps", "20")
    assert ended.code == 0 and "from calibration.json" not in ended.out


def test_a_block_that_is_none_is_named_as_it_was_given(call: Call, have: Have) -> None:
    run = have("algorithmic", *SNAPSHOTS)
    ended = call("probe", run.name, "llc", *SHORT, "blocks=foo")
    assert ended.code == 2 and len(ended.complaint) == 1
    assert ended.complaint[0].startswith("blocks=foo is no parameter or module; modules are ")
    assert "restrict" not in ended.complaint[0] and not list((run / "probes").glob("llc-*"))


def test_a_number_that_is_no_estimate_stands_in_brackets_with_its_reason(call: Call, have: Have) -> None:
    run = have("algorithmic", *SNAPSHOTS)
    ended = call(
        "probe", run.name, "llc", *SHORT, "sampler=mala", "step_size=1000", "gamma=1", "--steps", "20"
    )
    assert ended.code == 0 and "(0)" in ended.out
    assert "not equilibrated: acceptance 0 is below 0.2: take a smaller step_size" in ended.out
    assert "llc stuck" not in ended.out  # said in words
    tables = [pl.read_parquet(file) for file in (run / "probes").glob("llc-*.parquet")]
    (table,) = [each for each in tables if "llc_acceptance" in each.columns]
    assert table["llc_acceptance"].to_list() == [0.0, 0.0] and table["llc_stuck"].to_list() == [2.0, 2.0]
    assert "llc_step_bias" not in table.columns


def test_changes_are_against_the_nearest_snapshot_that_was_measured(call: Call, have: Have) -> None:
    run = have("algorithmic", *SNAPSHOTS)
    words = ("probe", run.name, "llc", *SHORT, "n_beta=20", "gamma=30", "step_size=1e-5", "--members", "0")
    assert call(*words, "--steps", "0,20").code == 0
    (file,) = (run / "probes").glob("llc-*.parquet")
    coarse = pl.read_parquet(file)["llc_change"].to_list()
    assert call(*words).code == 0
    fine = pl.read_parquet(file)["llc_change"].to_list()
    assert coarse[0] is None and fine[0] is None
    assert coarse[1] == pytest.approx(fine[1] + fine[2], rel=1e-4)


def test_what_cannot_be_calibrated_is_one_line(call: Call, have: Have) -> None:
    run = have("algorithmic", *SNAPSHOTS)
    for words, said in (
        (("--step", "15"), "no snapshot of step 15; the nearest is 10"),
        (("--member", "7"), "no member 7"),
        (("draws",), "draws is no OPTION=VALUE"),
        (("drows=3",), "drows"),
        (("--tolerance", "3"), "tolerance=3 is outside (0, 1)"),
        (("restrict=block",), "restrict and blocks are not calibrated"),
    ):
        ended = call("calibrate", run.name, *words)
        assert ended.code == 2 and len(ended.complaint) == 1 and said in ended.complaint[0]
    assert not (run / "calibration.json").exists()


def test_traces_for_arviz(call: Call, have: Have, tmp_path: Path) -> None:
    arviz = pytest.importorskip("arviz")
    run = have("algorithmic", *SNAPSHOTS)
    target = tmp_path / "traces.nc"
    ended = call("export", run.name, "--arviz", "-o", str(target))
    assert ended.code == 2 and "has no traces" in ended.complaint[0]
    words = ("probe", run.name, "llc", *SHORT, "--steps", "10,20")
    assert call(*words).code == 0
    assert call("export", run.name, "--arviz", "-o", str(target)).code == 0
    found = arviz.from_netcdf(str(target))["posterior"]["llc"]
    assert found.dims == ("chain", "draw", "member", "step") and found.shape == (2, 20, 2, 2)
    (file,) = (run / "probes").glob("llc-*.safetensors")
    kept = read_kept(file)[1, 20]["llc_traces"]
    assert (found.sel(member=1, step=20).values == kept).all()
    table = pl.read_parquet(file.with_suffix(".parquet")).row(-1, named=True)
    assert float(kept.mean()) == pytest.approx(table["llc"], rel=1e-4)
    assert call(*words, "gamma=3").code == 0
    ended = call("export", run.name, "--arviz", "-o", str(target))
    assert ended.code == 2 and "has 2 tables of traces: give --table" in ended.complaint[0]


def test_without_arviz_there_is_one_line(
    call: Call, have: Have, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = have("algorithmic", *SNAPSHOTS)
    assert call("probe", run.name, "llc", *SHORT, "--steps", "20").code == 0
    monkeypatch.setitem(sys.modules, "arviz", None)
    ended = call("export", run.name, "--arviz", "-o", str(tmp_path / "x.nc"))
    assert ended.code == 2 and ended.complaint == [
        "this needs ArviZ, which is not installed: pip install 'epochal[arviz]'"
    ]
    assert not (tmp_path / "x.nc").exists()
