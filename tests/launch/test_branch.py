"""checkpoint=RUN@step: exact where nothing changes, and what changes, changes from there on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochal import api
from epochal.core.values.errors import UserError
from epochal.report.page import write_report
from epochal.store.run import Run

TINY: dict[str, Any] = {
    "modulus": 7, "width": 8, "heads": 2, "max_steps": 40, "record_every": 10, "snapshot_every": 20,
    "batch_size": 8, "threads": 1, "snapshot_optimizer": True,
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("without_pages")


def trained(runs: Path, **fields: Any) -> Run:
    return api.run("algorithmic", runs=runs, progress=False, **TINY | fields)


def branch(runs: Path, where: str, **fields: Any) -> Run:
    return api.run("algorithmic", runs=runs, progress=False, checkpoint=where, **fields)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of two members with the optimiser in its snapshots; to be read only."""
    return trained(tmp_path_factory.mktemp("two") / "runs", seed="0:2")


def late(run: Run, after: int) -> bytes:
    return run.metrics.filter(run.metrics["step"] > after).write_csv().encode()


def test_with_the_optimiser_in_the_snapshot_a_branch_repeats_its_source_bit_for_bit(tmp_path: Path) -> None:
    source = trained(tmp_path, seed="0:2", weight_decay="0,1")
    same = branch(tmp_path, f"{source.name}@20", max_steps=40, threads=1)
    assert same.name != source.name and same.spec["origin"]["step"] == 20
    assert same.metrics["step"].min() == 20
    assert late(same, 20) == late(source, 20)
    assert same.members.select("weight_decay", "seed").equals(source.members.select("weight_decay", "seed"))
    assert write_report(same).exists()


def test_parameters_alone_begin_with_a_fresh_optimiser(tmp_path: Path) -> None:
    source = trained(tmp_path, seed="0:2", snapshot_optimizer=False)
    fresh = branch(tmp_path, f"{source.name}@20", max_steps=40)
    assert late(fresh, 20) != late(source, 20)
    for member in (0, 1):
        before, after = source.snapshot(member, 20), fresh.snapshot(member, 20)
        assert before["params"].tobytes() == after["params"].tobytes()
        # Bias correction starts anew: no update is much larger than the rate.
        step = fresh.snapshot(member, 40)["params"] - after["params"]
        assert 0 < np.abs(step).max() < 20 * 3 * 1e-3


def test_the_last_state_holds_the_optimiser_anyway(tmp_path: Path) -> None:
    source = trained(tmp_path / "a", seed=0, snapshot_optimizer=False)
    longer = trained(tmp_path / "b", seed=0, snapshot_optimizer=False, max_steps=60)
    onward = branch(tmp_path / "a", f"{source.name}@last", max_steps=60)
    assert late(onward, 40) == late(longer, 40)


def test_changed_fields_act_from_there_on_and_axes_multiply(two: Run, tmp_path: Path) -> None:
    source = two
    swept = branch(tmp_path, f"{source.path}@20", weight_decay="0,5", max_steps=60)
    assert swept.members.select("weight_decay", "seed").rows() == [(0.0, 0), (0.0, 1), (5.0, 0), (5.0, 1)]
    norms = {
        (decay, seed): swept.metrics.filter((swept.metrics["member"] == m) & (swept.metrics["step"] == 60))[
            "weight_norm"
        ].item()
        for m, decay, seed in swept.members.select("member", "weight_decay", "seed").rows()
    }
    assert all(norms[5.0, seed] < norms[0.0, seed] for seed in (0, 1))
    first = swept.metrics.filter(swept.metrics["step"] == 20)["val_loss"].to_list()
    assert first[:2] == first[2:] == source.metrics.filter(source.metrics["step"] == 20)["val_loss"].to_list()


def test_one_member_can_be_chosen(tmp_path: Path) -> None:
    source = trained(tmp_path, seed="0:3")
    one = branch(tmp_path, f"{source.name}@20:2", max_steps=40)
    assert one.members["member_id"].len() == 1 and one.spec["fields"]["seed"] == 2
    assert one.snapshot(0, 20)["params"].tobytes() == source.snapshot(2, 20)["params"].tobytes()


@pytest.mark.parametrize(
    ("where", "fields", "said"),
    [
        ("{run}", {}, "is not RUN@step"),
        ("{run}@21", {}, "the nearest steps"),
        ("nothing@20", {}, "no run 'nothing'"),
        ("{run}@20:7", {}, "members 0 to 1"),
        ("{run}@20", {"max_steps": 20}, "is not beyond step 20"),
        ("{run}@20", {"width": 16, "max_steps": 40}, "change the network"),
        ("{run}@20", {"preset": "demo"}, "preset=demo beside"),
        ("{run}@20", {"seed": 9, "max_steps": 50}, "choose one"),
    ],
)
def test_what_cannot_be_continued_is_said_in_one_line(
    two: Run, where: str, fields: dict[str, Any], said: str
) -> None:
    runs = two.path.parent
    with pytest.raises(ValueError, match=said) as error:
        branch(runs, where.format(run=two.name), **fields)
    assert isinstance(error.value, UserError) and "\n" not in str(error.value)
    assert list(runs.glob("[!.]*")) == [two.path]
