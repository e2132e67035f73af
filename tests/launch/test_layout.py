"""Packs and executors: limits, processes, packs that do not fit, and what a run records of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from epochal import api
from epochal.core.values.errors import UserError
from epochal.engine.population import Population, initial_population
from epochal.engine.program import Program
from epochal.experiments.catalog import find
from epochal.launch import layout as layout_module
from epochal.launch.layout import choose, recorded
from epochal.launch.packs import build, packs_of
from epochal.launch.plan import plan
from epochal.launch.timing import Timed
from epochal.launch.working_set import CACHE_BYTES, FEWEST, Trial, try_alone
from epochal.models.images.mlp import MLP
from epochal.store.run import Run

pytestmark = pytest.mark.usefixtures("without_pages")
ROOT = Path(__file__).parents[2]
TINY: dict[str, Any] = {
    "modulus": 7, "width": 8, "heads": 2, "max_steps": 20, "record_every": 5, "batch_size": 8,
    "precision": "float64", "progress": False,
}  # fmt: skip


FIELDS = {name: value for name, value in TINY.items() if name != "progress"}


def trained(runs: Path, **fields: Any) -> Run:
    return api.run("algorithmic", runs=runs, **TINY | {"threads": 1} | fields)


def close(a: Run, b: Run) -> bool:
    numbers = [name for name in a.metrics.columns if a.metrics[name].dtype == pl.Float64]
    return np.allclose(
        a.metrics.select(numbers).to_numpy(), b.metrics.select(numbers).to_numpy(), rtol=1e-8, equal_nan=True
    )


@pytest.mark.parametrize(("limit", "sizes"), [(0, [7]), (7, [7]), (6, [3, 4]), (3, [2, 2, 3]), (1, [1] * 7)])
def test_a_limit_cuts_packs_into_equal_parts(limit: int, sizes: list[int]) -> None:
    members = find("algorithmic").request({"seed": "0:7"}).members
    parts = packs_of(members, limit)
    assert sorted(map(len, parts)) == sizes
    assert [number for part in parts for number in part] == list(range(7))


def test_the_layout_is_recorded_and_a_limit_changes_results_by_rounding_only(tmp_path: Path) -> None:
    whole = trained(tmp_path, seed="0:4")
    cut = trained(tmp_path / "cut", seed="0:4", pack_limit=3)
    assert (whole.spec["packs"], whole.spec["executors"]) == ([[0, 1, 2, 3]], ["vmap"])
    assert (cut.spec["packs"], cut.spec["pack_limit"]) == ([[0, 1], [2, 3]], 3)
    assert whole.name == cut.name, "where and how is no part of what a run is"
    assert close(whole, cut)


def test_members_that_keep_much_train_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = find("algorithmic")

    def executors(**settings: Any) -> set[str]:
        request = experiment.request({**FIELDS, "seed": "0:3", "max_steps": 400} | settings)
        return {pack.executor for pack in choose(experiment, request).packs}

    kept = try_alone(experiment, experiment.request(FIELDS).members[0]).bytes
    assert executors() == {"vmap"}
    monkeypatch.setattr("epochal.launch.working_set.LARGEST_BATCHED", kept - 1)
    assert executors() == {"loop"}
    assert executors(executor="vmap") == {"vmap"}, "what is asked for is done"
    assert executors(max_steps=100) == {"vmap"}, "so few updates are not worth a trial"
    monkeypatch.setattr("epochal.launch.working_set.LARGEST_BATCHED", kept)
    assert executors() == {"vmap"}


def test_processes_train_what_one_process_trains(tmp_path: Path) -> None:
    alone = trained(tmp_path / "loop", seed="0:3", executor="loop", pack_limit=2)
    beside = trained(
        tmp_path / "processes", seed="0:3", executor="processes", threads=2, probes="loss,accuracy"
    )
    assert beside.spec["executor"] == "processes" and beside.is_done
    assert sorted(map(len, beside.spec["packs"])) == [1, 2]
    shared = [name for name in beside.metrics.columns if name in alone.metrics.columns]
    assert close_columns(alone, beside, shared)
    assert beside.members["outcome"].to_list() == ["finished"] * 3
    assert beside.environment["wall_seconds"] > 0


def close_columns(a: Run, b: Run, names: list[str]) -> bool:
    numbers = [name for name in names if a.metrics[name].dtype == pl.Float64]
    return np.allclose(a.metrics.select(numbers).to_numpy(), b.metrics.select(numbers).to_numpy(), rtol=1e-8)


def test_an_error_in_a_worker_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not there"):
        trained(tmp_path, seed="0:2", executor="processes", device="cuda:7")
    assert not list(tmp_path.glob("[!.]*"))


def test_processes_are_interrupted_and_resumed_bit_for_bit(tmp_path: Path) -> None:
    fields = "modulus=7 width=8 heads=2 batch_size=8 max_steps=300 record_every=100 seed=0:2".split()
    settings: dict[str, Any] = dict(word.split("=") for word in fields)
    whole = api.run("algorithmic", runs=tmp_path, progress=False, executor="loop", threads=1, **settings)
    command = [
        sys.executable,
        "-m",
        "epochal.cli",
        "run",
        "algorithmic",
        *fields,
        "executor=processes",
        "threads=2",
    ]
    stopped = tmp_path / "stopped"
    where = {**os.environ, "EPOCHAL_RUNS": str(stopped), "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=where
    ) as first:
        assert first.stderr is not None
        first.stderr.readline()  # the first line says that it has begun
        first.send_signal(signal.SIGTERM)
        _, errors = first.communicate()
    assert first.returncode == 130 and "to resume" in errors, errors
    resumed = api.run(
        "algorithmic", runs=stopped, progress=False, executor="processes", threads=2, **settings
    )
    assert resumed.is_done and resumed.path in stopped.iterdir()
    assert resumed.metrics.equals(whole.metrics, null_equal=True)


def test_a_pack_that_does_not_fit_is_halved_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def hungry(program: Program) -> Population:
        if program.num_members > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return initial_population(program)

    monkeypatch.setattr("epochal.launch.training.initial_population", hungry)
    run = trained(tmp_path / "small", seed="0:5", progress=True)
    said = capsys.readouterr().err
    assert "pack 0 of 5 members does not fit into memory" in said and "at most 3" in said
    assert sorted(map(sorted, run.spec["packs"])) == [[0, 1], [2], [3, 4]]
    assert run.spec["pack_limit"] == 2
    monkeypatch.undo()
    assert close(run, trained(tmp_path / "large", seed="0:5"))


def test_what_is_not_known_is_measured_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epochal.launch.layout.KNOWN", {})
    found = find("images")
    request = found.request({"width": 8, "n_train": 40, "max_steps": 5, "seed": "0:3", "batch_size": 10})
    layout = choose(found, request)
    (row,) = layout.measured
    assert row["model"] == "mlp" and row["chosen"] == layout.packs[0].executor
    assert set(row["seconds_per_update"]) == {"vmap", "loop"}


def test_what_cannot_be_batched_trains_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epochal.launch.layout.KNOWN", {})

    def stubborn(self: MLP, inputs: torch.Tensor, tap: Any) -> torch.Tensor:
        return forward(self, inputs, tap) * float(inputs.sum() == inputs.sum())

    forward = MLP.forward
    monkeypatch.setattr(MLP, "forward", stubborn)
    found = find("images")
    layout = choose(found, found.request({"width": 8, "n_train": 40, "max_steps": 5, "seed": "0:3"}))
    assert layout.packs[0].executor == "loop" and "cannot be batched" in layout.notes[0]


def test_a_member_keeps_what_its_backward_pass_reads() -> None:
    """One hidden layer: inputs, activations, weights; twice the batch adds one batch's activations."""
    found = find("images")
    common = {"depth": 1, "width": 1000, "n_train": 400, "max_steps": 5, "threads": 1, "device": "cpu"}
    one, two = (
        try_alone(found, found.request({**common, "batch_size": size}).members[0]).bytes
        for size in (100, 200)
    )
    # per example: 64 inputs, 1,000 activations, 10 logits and a few numbers of the loss, of 4 bytes each
    assert 4 * 100 * 1074 <= two - one <= 4 * 100 * (1074 + 3 * 1000)


def test_packs_are_no_larger_than_the_caches(tmp_path: Path) -> None:
    """64 members of width 128 lose against the loop in one pack (0.71), and gain in packs of 8."""
    found = find("algorithmic")
    wide = found.request({"seed": "0:64", "width": 128, "batch_size": 512, "device": "cpu", "threads": 1})
    first, second = choose(found, wide), choose(found, wide)
    sizes = [len(pack.members) for pack in first.packs]
    assert set(sizes) == {8} and first.pack_limit == 9 and {p.executor for p in first.packs} == {"vmap"}
    assert first.packs == second.packs, "a function of the request alone"
    narrow = choose(found, found.request({"seed": "0:64", "width": 16, "modulus": 11, "device": "cpu"}))
    assert [len(pack.members) for pack in narrow.packs] == [64] and narrow.pack_limit == 0
    given = choose(found, found.request({"seed": "0:64", "width": 128, "batch_size": 512, "pack_limit": 32}))
    assert [len(pack.members) for pack in given.packs] == [32, 32] and given.pack_limit == 32


def test_the_fewest_are_batched_however_large_and_a_gpu_has_no_limit() -> None:
    large = Trial(bytes=CACHE_BYTES * 3, seconds=1.0, device=torch.device("cpu"))
    assert large.most_members == FEWEST
    assert Trial(bytes=CACHE_BYTES * 3, seconds=1.0, device=torch.device("meta")).most_members == 0


def test_a_limit_of_the_caches_is_recorded_and_the_run_resumes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal.launch.layout.FEWEST", 2)
    monkeypatch.setattr("epochal.launch.working_set.FEWEST", 2)
    monkeypatch.setattr("epochal.launch.working_set.CACHE_BYTES", 1)
    run = trained(tmp_path, seed="0:4", max_steps=2)
    assert run.spec["packs"] == [[0, 1], [2, 3]] and run.spec["pack_limit"] == 2
    planned = plan(find("algorithmic"), find("algorithmic").request({**STATIC, "seed": "0:4"}))
    assert [pack.members for pack in planned.packs] == [2, 2]
    monkeypatch.undo()
    repeat = trained(tmp_path, seed="0:4", max_steps=2, again=True)
    assert repeat.name != run.name and repeat.spec["packs"] == run.spec["packs"]
    assert repeat.metrics.equals(run.metrics, null_equal=True), "the same packs, hence the same bits"
    again = recorded(run.spec)
    assert [pack.members for pack in again.packs] == [(0, 1), (2, 3)] and again.pack_limit == 2
    assert recorded({**run.spec, **again.as_spec()}) == again


STATIC = {name: value for name, value in TINY.items() if name != "progress"}


@pytest.mark.parametrize(("side_by_side", "wins"), [(0.1, True), (0.9, False)])
def test_a_long_run_trains_in_processes_where_they_were_timed_to_gain(
    side_by_side: float, wins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []

    def timed(program: Program, among: set[Any], num_workers: int) -> Timed:
        asked.append(among)
        return Timed(seconds={"vmap": 1.0, "processes": side_by_side})

    monkeypatch.setattr(layout_module, "time_executors", timed)
    monkeypatch.setattr(layout_module, "LONG_SECONDS", 0.0)
    found = find("algorithmic")
    settings = {**STATIC, "seed": "0:4", "threads": 2, "device": "cpu", "max_steps": 25_000}
    layout = choose(found, found.request(settings))
    assert asked == [{"vmap", "processes"}]
    assert layout.executor == ("processes" if wins else "vmap")
    assert [len(pack.members) for pack in layout.packs] == ([2, 2] if wins else [4])
    (row,) = layout.measured
    assert row["chosen"] == layout.executor and row["seconds_per_update"]["processes"] == side_by_side
    short = choose(found, found.request({**settings, "max_steps": 20}))
    assert short.executor == "vmap" and not short.measured, "a short run is not worth the timing"


def test_programs_are_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[int, ...]] = []

    def counted(experiment: Any, request: Any, pack: Any) -> Program:
        built.append(pack.members)
        return build(experiment, request, pack)

    monkeypatch.setattr("epochal.launch.execute.build", counted)
    trained(tmp_path, seed="0:4", pack_limit=2)
    assert sorted(built) == [(0, 1), (2, 3)]
