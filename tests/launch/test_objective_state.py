"""What an objective keeps between updates: in snapshots, measured afterwards, and where runs branch off."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import epochal
from epochal.store.run import Run
from epochal.store.snapshots import find_snapshot

SETTINGS: dict[str, Any] = {
    "cue": "tint", "channels": "rgb", "objective": "group_dro", "group_dro_eta": 0.5, "n_train": 100,
    "batch_size": 20, "width": 8, "depth": 1, "max_steps": 20, "record_every": 10, "snapshot_every": "10",
    "rho": [0.5, 0.9], "seed": [0, 1], "probes": ["loss", "accuracy", "gradient_norm"], "device": "cpu",
    "threads": 1, "progress": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("state")
    return epochal.load(epochal.run("images", runs=folder, **SETTINGS).path)


def weights(run: Run, member: int, step: int) -> np.ndarray[Any, Any]:
    shot = find_snapshot(run.paths.snapshots, member, step)
    found: np.ndarray[Any, Any] = np.exp(shot.tensors["objective.log_q"][shot.members.index(member)])
    return found


def test_snapshots_hold_it(run: Run) -> None:
    np.testing.assert_allclose(weights(run, 0, 0), 1 / 20, rtol=1e-12)
    later = weights(run, 0, 20)
    assert abs(later.sum() - 1) < 1e-9 and later.max() > 1.5 / 20


def test_the_objectives_gradient_is_measured_afterwards_as_it_was_recorded(run: Run) -> None:
    """To the bit, which it would not be with weights of groups that are even again."""
    table = run.probe("gradient_norm", progress=False)
    assert table.equals(run.metrics.select(table.columns).sort("member", "step"))


@pytest.mark.usefixtures("without_pages")
def test_a_run_that_branches_off_goes_on_with_it(run: Run) -> None:
    branch = epochal.run(
        "images", runs=Path(run.path).parent, checkpoint=f"{run.name}@10", learning_rate=1e-4, max_steps=12,
        progress=False,
    )  # fmt: skip
    begun = epochal.load(branch.path)
    np.testing.assert_array_equal(weights(begun, 0, 10), weights(run, 0, 10))
