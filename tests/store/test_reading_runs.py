"""Reading a run: finished, at work or killed, it says the same."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from epochal.core.values.errors import UserError
from epochal.core.values.event import Event
from epochal.store import RunDirectory, load, save_snapshot

Make = Callable[..., RunDirectory]

EVENT = Event(
    found=True,
    step=120.0,
    low=100.0,
    high=math.inf,
    width=30.0,
    onset=105.0,
    end=135.0,
    height=0.9,
    censored="none",
    reason="a rise",
    p=math.nan,
)


def test_the_store_knows_no_torch() -> None:
    program = "import sys, epochal.store; sys.exit(any(m.partition('.')[0] == 'torch' for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_run_reads_the_same_at_work_and_finished(make_run: Make) -> None:
    with make_run() as directory:
        with directory.record_writer(0) as writer:
            writer.append(
                {"member": m, "step": s, "val_loss": math.inf if s else 0.1} for s in (0, 10) for m in (1, 0)
            )
        with directory.paths.records(0).open("ab") as file:
            file.write(b'{"member": 1, "st')
        at_work = load(directory.path)
        assert not at_work.is_done
        before = at_work.metrics
        directory.finish()
    run = load(str(directory.path))
    assert run.is_done
    assert run.metrics.equals(before, null_equal=True) and run.metrics.schema == before.schema
    assert run.metrics.select("member", "step", "val_loss").rows() == [
        (0, 0, 0.1), (0, 10, math.inf), (1, 0, 0.1), (1, 10, math.inf)
    ]  # fmt: skip
    directory.paths.metrics.unlink()
    assert load(directory.path).metrics.equals(before, null_equal=True)


def test_settings_and_members_are_as_given(make_run: Make) -> None:
    with make_run(environment={"parameters": 12}) as directory:
        run = load(directory.path)
        assert run.name == "algorithmic-demo-0123abcd"
        assert run.spec["preset"] == "demo"
        assert run.environment["parameters"] == 12
        assert run.schema["val_loss"] == {"dtype": "float64", "unit": "nats"}
        assert run.schema["step"] == {"dtype": "int64"}
        assert run.metrics.is_empty() and run.metrics.columns == list(run.schema)
        outcomes: dict[str, list[Any]] = {
            "outcome": ["finished", "diverged"],
            "outcome_step": [2000, 31],
            "outcome_reason": ["", "inf"],
        }
        directory.write_members(run.members.with_columns(**{k: pl.Series(v) for k, v in outcomes.items()}))
        directory.write_environment({"parameters": 13})
        assert run.members["outcome"].to_list() == ["running"] * 2  # as it was when first asked for
        again = load(directory.path)
    assert again.environment == {"parameters": 13}
    assert again.members.row(1, named=True) == {
        "member": 1, "member_id": "b1", "seed": 8,
        "outcome": "diverged", "outcome_step": 31, "outcome_reason": "inf",
    }  # fmt: skip


def test_events_have_their_columns_before_and_after_they_are_found(make_run: Make) -> None:
    with make_run() as directory:
        empty = load(directory.path).events
        directory.write_events([])
        assert load(directory.path).events.schema == empty.schema
        directory.write_events(
            [{"member": 1, "name": "rise", "probe": "val_loss", **EVENT.as_row(), "detector": "cusum"}]
        )
        events = load(directory.path).events
    assert empty.is_empty()
    assert events.columns == [*empty.columns, "detector"]
    assert events.select(empty.columns).schema == empty.schema
    row = events.row(0, named=True)
    assert row == {"member": 1, "name": "rise", "probe": "val_loss", **EVENT.as_row(), "detector": "cusum"}
    assert empty.schema["found"] == pl.Boolean and empty.schema["step"] == pl.Float64
    assert empty.schema["censored"] == pl.String


def test_snapshots_of_one_member(make_run: Make) -> None:
    with make_run() as directory:
        run = load(directory.path)
        assert run.snapshots == []
        params = np.arange(6, dtype=np.float32).reshape(2, 3)
        save_snapshot(directory.paths.snapshots, 0, 100, {"params": params}, members=[0, 1])
        assert run.snapshots == [100]
        assert run.snapshot(1, 100)["params"].tolist() == [3.0, 4.0, 5.0]
        with pytest.raises(UserError, match="nearest steps with one are 100"):
            run.snapshot(0, 99)


def test_damaged_parts_are_named(make_run: Make, tmp_path: Path) -> None:
    with make_run() as directory:
        for path in (directory.paths.members, directory.paths.environment, directory.paths.schema):
            path.write_bytes(path.read_bytes()[:-3])
        directory.paths.events.write_bytes(b"PAR1")
        run = load(directory.path)
        for part in ("members", "environment", "schema", "events"):
            with pytest.raises(UserError, match=rf"{part}\.\w+ is damaged \(.*\); restore it"):
                getattr(run, part)
        directory.paths.environment.unlink()
        with pytest.raises(UserError, match=r"environment\.json is missing"):
            _ = run.environment
    with pytest.raises(UserError, match="is not a run"):
        load(tmp_path)
