"""Measuring afterwards: the numbers that training recorded, measured once, kept whole."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import epochal
from epochal.core.values.errors import UserError
from epochal.launch.measuring import measure_snapshots, measurement
from epochal.store.run import Run

SETTINGS: dict[str, Any] = {
    "modulus": 7, "width": 8, "heads": 2, "batch_size": 8, "max_steps": 20, "record_every": 10,
    "snapshot_every": "10", "seed": range(3), "train_fraction": [0.4, 0.6], "device": "cpu", "threads": 1,
    "progress": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Six members in two packs, with snapshots at 0, 10 and 20."""
    folder = tmp_path_factory.mktemp("measuring")
    return epochal.load(epochal.run("algorithmic", runs=folder, **SETTINGS).path)


def fresh(run: Run) -> Run:
    """The same run without what was measured."""
    for file in run.paths.probes.glob("*"):
        file.unlink()
    return epochal.load(run.path)


@pytest.mark.parametrize("name", ["loss", "accuracy", "weight_norm", "gradient_norm"])
def test_values_are_those_that_training_recorded_bit_for_bit(run: Run, name: str) -> None:
    table = fresh(run).probe(name, progress=False)
    assert table.height == 18 and table.columns[:3] == ["member", "step", "epoch"]
    recorded = run.metrics.select(table.columns)
    assert table.equals(recorded.sort("member", "step"))


def test_a_second_call_measures_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fresh(run).probe("loss", progress=False)
    monkeypatch.setattr("epochal.launch.measuring.measure", lambda *_: pytest.fail("measured again"))
    assert epochal.load(run.path).probe("loss", progress=False).equals(first)
    part = run.probe("loss", members=[1, 4], steps=[20], progress=False)
    assert part.select("member", "step").rows() == [(1, 20), (4, 20)]


def test_a_part_is_added_to_the_table(run: Run) -> None:
    run = fresh(run)
    part = run.probe("loss", members=[4, 0], steps=[0, 20], progress=False)
    assert part.select("member", "step").rows() == [(0, 0), (0, 20), (4, 0), (4, 20)]
    assert run.probes.select("probe", "rows", "members", "steps").rows() == [("loss", 4, 2, 2)]
    whole = run.probe("loss", progress=False)
    assert whole.height == 18 and whole.select("member", "step").n_unique() == 18
    recorded = run.metrics.sort("member", "step")["val_loss"]
    assert (whole["val_loss"] - recorded).abs().max() < 1e-6  # type: ignore[operator]


def test_options_and_labels_have_tables_of_their_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("""
import epochal
class Choice(epochal.Options):
    power: float = 1.0
@epochal.probe(columns={"size": 1}, unit="1", low=0.0, high=1e9, null="0", cost="little", source="here")
def size(options: Choice, view):
    return {"size": view.params["unembed.weight"].abs().pow(options.power).mean(1).double()}
""")
    run = fresh(run)
    given = f"{tmp_path}/own.py:size"
    first = run.probe(given, steps=[20], progress=False)
    second = run.probe(f"{given}@square", steps=[20], progress=False, power=2)
    assert first.schema["size"] == second.schema["size@square"] == pl.List(pl.Float64)
    rows = run.snapshot(2, 20)["params"][-7 * 8 :].reshape(7, 8)
    assert first["size"].to_list()[2] == pytest.approx(abs(rows).mean(1), rel=1e-6)
    assert second["size@square"].to_list()[2] == pytest.approx((rows**2).mean(1), rel=1e-6)
    assert run.probes["probe"].to_list() == ["size", "size@square"]
    (copy,) = run.paths.code.iterdir()
    assert copy.read_bytes() == (tmp_path / "own.py").read_bytes()


def test_the_step_and_the_start_are_those_of_training(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("""
import epochal, torch
@epochal.probe(columns=("moved", "at"), unit="1", low=0.0, high=1e9, null="0", cost="little", source="here")
def moved(options, view):
    return {"moved": (view.flat - view.initial).double().norm(), "at": torch.tensor(float(view.step))}
""")
    table = fresh(run).probe(f"{tmp_path}/own.py:moved", members=[1], progress=False)
    start = run.snapshot(1, 0)["params"].astype(float)
    moved = [((run.snapshot(1, step)["params"] - start) ** 2).sum() ** 0.5 for step in (0, 10, 20)]
    assert table["moved"].to_list() == pytest.approx(moved, rel=1e-6) and table["moved"][0] == 0
    assert table["at"].to_list() == table["step"].to_list() == [0, 10, 20]


@pytest.mark.usefixtures("without_pages")
def test_an_interrupted_run_is_measured_as_far_as_it_got(tmp_path: Path, monkeypatch: Any) -> None:
    from epochal.engine.train import train

    def interrupted(*arguments: Any, **options: Any) -> Any:
        for moment in train(*arguments, **options):
            if moment.step == 13:
                raise KeyboardInterrupt
            yield moment

    with monkeypatch.context() as patch:
        patch.setattr("epochal.launch.training.train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            epochal.run("algorithmic", runs=tmp_path, **SETTINGS)
    (path,) = (path for path in tmp_path.iterdir() if not path.name.startswith("."))
    part = epochal.load(path)
    assert not part.is_done
    rows = part.probe("weight_norm", progress=False).select("member", "step").rows()
    assert rows == [(member, step) for member in range(3) for step in (0, 10)], "the first of two packs"
    epochal.run("algorithmic", runs=tmp_path, **SETTINGS)
    assert epochal.load(path).probe("weight_norm", progress=False).height == 18


def test_what_was_measured_before_an_interruption_is_kept(run: Run, monkeypatch: Any) -> None:
    from epochal.launch import measuring

    calls = []

    def twice(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return whole(*arguments, **options)

    whole, run = vars(measuring)["measure"], fresh(run)
    monkeypatch.setattr(measuring, "measure", twice)
    with pytest.raises(KeyboardInterrupt):
        run.probe("loss", progress=False)
    assert run.probes["rows"].to_list() == [6]
    monkeypatch.setattr(measuring, "measure", whole)
    assert run.probe("loss", progress=False).height == 18


def test_snapshots_that_are_measured_together_are_kept_and_not_measured_again(
    run: Run, monkeypatch: Any
) -> None:
    """Two at a time: stopped in the last group of the second member, all before it stay."""
    from epochal.probes import llc as probe

    sizes: list[int] = []

    def thrice(views: Any, *arguments: Any) -> Any:
        if len(sizes) == 3:
            raise KeyboardInterrupt
        sizes.append(len(views))
        return whole(views, *arguments)

    sampling: dict[str, Any] = {
        "draws": 20,
        "burn_in": 0,
        "chains": 2,
        "step_size": 1e-4,
        "gamma": 10.0,
        "members": [0, 1],
    }
    whole, run, seen = vars(probe)["estimates_along"], fresh(run), []
    monkeypatch.setattr(probe, "num_at_once", lambda *_: 2)
    monkeypatch.setattr(probe, "estimates_along", thrice)
    with pytest.raises(KeyboardInterrupt):
        run.probe("llc", progress=False, **sampling)
    assert sizes == [2, 1, 2] and run.probes["rows"].to_list() == [5]
    monkeypatch.setattr(probe, "estimates_along", whole)
    measured = measurement(run, "llc", {key: of for key, of in sampling.items() if key != "members"})
    table = measure_snapshots(run, measured, members=[0, 1], progress=lambda *done: seen.append(done))
    assert seen == [(1, 1)] and table.select("member", "step").rows() == [
        (member, step) for member in (0, 1) for step in (0, 10, 20)
    ]
    # Whatever was sampled beside it, and when: changes between snapshots are those of one call.
    again = fresh(run).probe("llc", progress=False, **sampling)
    for column in ("llc", "llc_change"):
        assert again[column].drop_nulls().to_list() == pytest.approx(
            table[column].drop_nulls().to_list(), rel=1e-3
        )


@pytest.mark.usefixtures("without_pages")
def test_a_member_has_no_rows_after_it_diverged(tmp_path: Path) -> None:
    settings = {**SETTINGS, "train_fraction": 0.4, "seed": 0, "snapshot_every": "1"}
    wild: dict[str, Any] = {"learning_rate": [1e-3, 1e3], "weight_decay": 1e300}
    run = epochal.load(epochal.run("algorithmic", runs=tmp_path, **settings, **wild).path)
    ended = run.members["outcome_step"][1]
    assert run.members["outcome"][1] == "diverged"
    table = run.probe("weight_norm", progress=False)
    assert table.filter(pl.col("member") == 1)["step"].max() == ended


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("wieght_norm", {}, "unknown probe wieght_norm: did you mean 'weight_norm'"),
        ("margin", {"power": 2}, "power=2: margin has no options"),
        ("loss", {"steps": [15]}, "has no snapshot of step 15; the nearest are 0, 10, 20"),
        ("loss", {"members": [9]}, "has no member 9; the nearest are 1, 2, 3, 4, 5"),
        ("loss@a-b", {}, "'loss@a-b'; a probe is NAME, NAME@LABEL"),
        ("nowhere.py:size", {}, "there is no file nowhere.py"),
    ],
)
def test_what_cannot_be_measured_is_told(run: Run, name: str, arguments: Any, problem: str) -> None:
    with pytest.raises(UserError) as error:
        fresh(run).probe(name, progress=False, **arguments)
    assert problem in str(error.value) and len(str(error.value).splitlines()) == 1
    assert run.probes.is_empty()


def test_a_run_opened_by_the_store_alone_cannot_measure(run: Run) -> None:
    from epochal.store.run import load

    with pytest.raises(UserError, match=r"open it with epochal\.load"):
        load(run.path).probe("loss")
