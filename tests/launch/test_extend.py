"""Growing a run: adopted members keep every bit, new ones are those of a run made at once."""

from pathlib import Path
from typing import Any

import pytest

from epochal import api
from epochal.core.values.errors import UserError
from epochal.engine.train import train
from epochal.report.page import write_report
from epochal.store.run import Run

TINY: dict[str, Any] = {
    "modulus": 7, "width": 8, "heads": 2, "max_steps": 40, "record_every": 10, "snapshot_every": 20,
    "batch_size": 8, "threads": 1,
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("without_pages")


def trained(runs: Path, **fields: Any) -> Run:
    return api.run("algorithmic", runs=runs, progress=False, **TINY | fields)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of two members; to be read only."""
    return trained(tmp_path_factory.mktemp("two") / "runs", seed="0:2")


def curves(run: Run, member: int) -> bytes:
    return run.metrics.filter(run.metrics["member"] == member).drop("member").write_csv().encode()


def params(run: Run, member: int, step: int) -> bytes:
    return run.snapshot(member, step)["params"].tobytes()


def test_more_steps_are_the_steps_of_a_longer_run_bit_for_bit(tmp_path: Path) -> None:
    long = trained(tmp_path / "long", seed="0:2", max_steps=80)
    short = trained(tmp_path / "short", seed="0:2")
    grown = api.extend(short, runs=tmp_path / "short", progress=False, max_steps=80)
    assert grown.name == long.name and grown.path != short.path
    assert grown.metrics.equals(long.metrics, null_equal=True)
    assert all(params(grown, m, 80) == params(long, m, 80) for m in (0, 1))
    assert grown.spec["origin"]["adopted"] == short.name
    assert short.metrics["step"].max() == 40, "the old run stays as it was"
    assert write_report(grown).exists()


def test_more_members_leave_the_old_ones_alone_and_get_the_numbers_of_one_run(tmp_path: Path) -> None:
    old = trained(tmp_path, seed="0:2", weight_decay="0,1")
    grown = api.extend(old, runs=tmp_path, progress=False, seed="2:4")
    assert grown.members.select("weight_decay", "seed").rows() == [
        (decay, seed) for decay in (0.0, 1.0) for seed in range(4)
    ]
    at_once = trained(tmp_path / "once", seed="0:4", weight_decay="0,1")
    assert grown.members["member_id"].equals(at_once.members["member_id"]) and grown.name == at_once.name
    for member, (was, _) in enumerate(old.members.select("member", "seed").rows()):
        (now,) = grown.members.filter(grown.members["member_id"] == old.members["member_id"][member])[
            "member"
        ]
        assert curves(grown, now) == curves(old, was)
        assert params(grown, now, 40) == params(old, was, 40)
    assert grown.metrics.height == at_once.metrics.height and grown.events.height == at_once.events.height
    again = trained(tmp_path, seed="0:4", weight_decay="0,1")
    assert again.path == grown.path, "the same request is the same run, however it came about"


def test_a_run_that_was_interrupted_goes_on_in_the_grown_one(
    two: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(tmp_path / "whole", seed="0:4")

    class Stop:
        def __call__(self, *arguments: Any, **options: Any) -> Any:
            for moment in real(*arguments, **options):
                if moment.step == 15:
                    raise SystemExit
                yield moment

    real = train
    monkeypatch.setattr("epochal.launch.training.train", Stop())
    with pytest.raises(SystemExit):
        trained(tmp_path / "cut", seed="0:2", checkpoint_minutes=1e-9)
    monkeypatch.undo()
    (path,) = (tmp_path / "cut").glob("[!.]*")
    grown = api.extend(api.load(path), runs=tmp_path / "cut", progress=False, seed="2:4")
    assert grown.metrics.height == whole.metrics.height and grown.is_done
    assert [curves(grown, m) for m in (0, 1)] == [curves(two, m) for m in (0, 1)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "nothing to add"),
        ({"seed": "0:2"}, "adds nothing"),
        ({"max_steps": 20}, "max_steps=20 is below"),
        ({"record_every": 5}, "cannot change half-way"),
        ({"sead": 3}, "did you mean 'seed'"),
        ({"weight_decay": -1}, "not allowed"),
    ],
)
def test_what_cannot_grow_is_said_in_one_line(two: Run, changes: dict[str, Any], said: str) -> None:
    runs = two.path.parent
    before = sorted(runs.iterdir())
    with pytest.raises(ValueError, match=said) as error:
        api.extend(two, runs=runs, progress=False, **changes)
    assert isinstance(error.value, UserError) and "\n" not in str(error.value)
    assert sorted(runs.iterdir()) == before
