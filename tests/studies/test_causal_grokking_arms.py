"""The quick form of the study with small X-rays at hand and without: what it trains and measures."""

from pathlib import Path

import numpy as np
import pytest

from epochal.launch.execute import execute
from epochal.launch.studies.plan import StudyPlan
from epochal.launch.studies.resolve import resolve
from epochal.launch.studies.runs import gathered
from epochal.launch.watching.listener import Silent
from epochal.store.run import load
from epochal.studies import find
from epochal.studies.causal_grokking.arms import ARMS, ON_XRAYS, PENALTIES
from epochal.studies.causal_grokking.examples import examples_figures
from epochal.studies.causal_grokking.objectives import retrained

QUICK = [role for role, arm in ARMS.items() if arm.is_in(is_quick=True)]


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of data sets, empty."""
    monkeypatch.setenv("EPOCHAL_DATA", str(tmp_path / "sets"))
    (tmp_path / "sets").mkdir()
    return tmp_path / "sets"


def put_xrays(folder: Path) -> None:
    """A part of the set in its container: bright middles are pneumonia."""
    generator = np.random.Generator(np.random.PCG64(0))
    arrays: dict[str, np.ndarray] = {}
    for split, size in (("train", 420), ("val", 120)):
        labels = (np.arange(size) % 3 > 0).astype(np.uint8)
        images = generator.integers(0, 100, (size, 28, 28), dtype=np.uint8)
        images[:, 10:18, 10:18] += (100 * labels)[:, None, None].astype(np.uint8)
        arrays |= {f"{split}_images": images, f"{split}_labels": labels[:, None]}
    np.savez(folder / "pneumoniamnist_subset.npz", allow_pickle=False, **arrays)


def planned(**overrides: object) -> StudyPlan:
    return resolve(find("causal-grokking"), is_quick=True, overrides=overrides)


def test_without_x_rays_the_quick_form_is_digits_and_says_what_is_missing(sets: Path) -> None:
    plan = planned()
    assert [batch.role for batch in plan.batches] == [role for role in QUICK if role not in ON_XRAYS]
    missing = f"pneumoniamnist is not in {sets}; `epochal data get pneumoniamnist` fetches it"
    assert plan.left_out == (f"{', '.join(ON_XRAYS)}: {missing}",)


def test_with_x_rays_all_arms_are_there_and_those_on_the_same_data_have_the_same_seeds(sets: Path) -> None:
    put_xrays(sets)
    plan = planned()
    assert [batch.role for batch in plan.batches] == QUICK and not plan.left_out
    specs = {batch.role: batch.request.spec.model_dump() for batch in plan.batches}
    assert {role for role, spec in specs.items() if spec["data"] == "npz"} == set(ON_XRAYS)
    assert len({spec["data_checksum"] for spec in specs.values()}) == 2
    seeds = {tuple(member.model_dump()["seed"] for member in batch.request.members) for batch in plan.batches}
    assert len(seeds) == 1


def test_x_rays_are_measured_with_another_read_out_and_their_examples_kept(
    sets: Path, tmp_path: Path
) -> None:
    put_xrays(sets)
    plan = planned(epochs="6", width="8", seed="70:72", threads="1")
    runs = {}
    for batch in plan.batches:
        if batch.role in ("xrays", "xrays_erm"):
            execute(batch.experiment, batch.request, tmp_path / batch.role, Silent())
            runs[batch.role] = [(load(tmp_path / batch.role), "seed")]
    made = gathered(plan.study, runs)
    for run in made["xrays_erm"].runs:
        last = run.curves["val_accuracy"].steps[-1]
        assert run.curves["dfr_worst_group_accuracy"].steps[-1] == last == 24
        assert {*PENALTIES.values(), "core_accuracy", "worst_group_accuracy"} <= run.curves.keys()
        assert run.fields["seed"] == run.seed and run.fields["patch_size"] == 2
    assert "with its last layer retrained xrays_erm" in retrained(made, "xrays_erm").claim
    (figure,) = examples_figures(made)
    cells, frames = figure.tables["xrays_cells"], figure.tables["xrays_frames"]
    # Four images, each above its saliency: once or twice, as there are measured steps.
    assert len(cells["value"]) in (4 * 2 * 14**2, 4 * 3 * 14**2)
    assert frames["right"][0] == pytest.approx(2 / 14) and frames["top"][0] == 1.0
