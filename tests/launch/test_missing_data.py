"""Arms that need images which not every machine has: taken where they are, left out and told where not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochal.core.values.errors import UserError
from epochal.launch.studies.plan import StudyPlan
from epochal.launch.studies.resolve import resolve
from epochal.store.studies import read_analyses
from epochal.studies import find
from epochal.study_listings import declared, shown
from tests.launch.studies import conducted

TEXT = """
from epochal import Arm, Detector, Finding, Study

def analyse(runs):
    for role, arm in runs.arms.items():
        yield runs.cited(Finding(
            claim=f"{role} learns", test="given", estimate=1.0, num_runs=len(arm), null="n", p=0.01,
            verdict="supported"), role)

def arm(width, **others):
    return Arm(experiment="images", settings={
        "width": width, "n_train": 40, "model": "mlp", "batch_size": 20, "epochs": 2,
        "record_every": 2, "threads": 1, "seed": "0:2"}, quick={"seed": "20:22"}, **others)

small = Study(
    question="Does it learn?", prediction="It does.", refutation="It does not.",
    arms={"digits": arm(4), "xrays": arm(4, data=("pneumoniamnist", "part.npz")),
          "late": arm(3, data=("part.npz",), form="quick", preset="shortcut")},
    detectors={"memorised": Detector(column="train_accuracy", kind="passage", options={"threshold": 0.99})},
    analyse=analyse,
)
"""
REMEDY = "pneumoniamnist is not in {}; `epochal data get pneumoniamnist` fetches it"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of data sets."""
    folder = tmp_path / "sets"
    folder.mkdir()
    monkeypatch.setenv("EPOCHAL_DATA", str(folder))
    (tmp_path / "own.py").write_text(TEXT)
    return folder


def put(folder: Path, name: str) -> None:
    images = np.arange(60 * 64, dtype=np.uint32).reshape(60, 8, 8).astype(np.uint8)
    np.savez(folder / name, allow_pickle=False, train_images=images, train_labels=np.arange(60) % 2)


def planned(data: Path, *, is_quick: bool = False, **overrides: object) -> StudyPlan:
    found = find(f"{data.parent / 'own.py'}:small")
    given = {name.replace("__", "."): value for name, value in overrides.items()}
    return resolve(found, is_quick=is_quick, overrides=given)


def roles(plan: StudyPlan) -> list[str]:
    return [batch.role for batch in plan.batches]


def asked(plan: StudyPlan, role: str) -> tuple[Any, Any]:
    (spec,) = [batch.request.spec for batch in plan.batches if batch.role == role]
    values = spec.model_dump()
    return values["data"], values["data_path"]


def test_without_its_data_an_arm_is_left_out_and_the_page_and_the_records_say_so(data: Path) -> None:
    plan = planned(data, is_quick=True)
    assert roles(plan) == ["digits"] == list(plan.document["arms"])
    missing = REMEDY.format(data)
    own = f"late: part.npz is not in {data}; put it there, or give data.path=FOLDER"
    assert plan.left_out == (f"xrays: {missing}", own)
    study = conducted(plan, data.parent, with_pages=True)
    assert [finding.claim for finding in study.findings] == ["digits learns"]
    page = (study.path / "report.html").read_text()
    assert f"<strong>Left out.</strong> xrays: {missing}." in page
    [analysis] = read_analyses(study.path)
    assert analysis["left_out"] == list(plan.left_out)
    assert f"left out    xrays: {missing}" in shown(study.path)
    assert any(
        "on pneumoniamnist or part.npz, left out without" in line for line in declared(plan.found.study)
    )
    # Arms that lack the same set share a line.
    both = TEXT.replace('data=("part.npz",)', 'data=("pneumoniamnist",)')
    (data.parent / "own.py").write_text(both)
    assert planned(data, is_quick=True).left_out == (f"xrays, late: {missing}",)


def test_with_its_data_it_is_there_and_the_place_is_no_part_of_the_plan(data: Path) -> None:
    without = planned(data, is_quick=True)
    put(data, "part.npz")
    plan = planned(data, is_quick=True)
    assert roles(plan) == ["digits", "xrays", "late"] and plan.left_out == ()
    assert asked(plan, "xrays") == ("npz", str(data / "part.npz"))
    assert str(data) not in json.dumps(plan.document)
    assert plan.departures == ("the quick form",)
    assert plan.directory != without.directory, "other data, another folder"
    assert plan.batches[0].request.run_id == without.batches[0].request.run_id, "the same run"


def test_the_official_set_comes_first_and_is_checked(data: Path) -> None:
    put(data, "part.npz")
    put(data, "pneumoniamnist.npz")
    with pytest.raises(UserError, match=r"arm xrays: .*pneumoniamnist.npz has md5"):
        planned(data)


def test_the_full_form_does_not_need_the_data_of_the_quick_one(data: Path) -> None:
    assert roles(planned(data)) == ["digits"]
    put(data, "part.npz")
    assert roles(planned(data)) == ["digits", "xrays"]


def test_overrides_say_which_set_or_where(data: Path) -> None:
    other = planned(data, xrays__data="digits", xrays__width=5)
    assert roles(other) == ["digits", "xrays"] and asked(other, "xrays") == ("digits", None)
    assert other.departures == ("overridden: xrays.data=digits, xrays.width=5",)
    with pytest.raises(UserError, match="arm xrays: mnist is not in"):
        planned(data, xrays__data="mnist")
    elsewhere = data.parent / "elsewhere"
    elsewhere.mkdir()
    put(elsewhere, "part.npz")
    there = planned(data, xrays__data__path=str(elsewhere))
    assert asked(there, "xrays") == ("npz", str(elsewhere / "part.npz"))
    assert planned(elsewhere.parent / "sets", xrays__data__path=str(data)).left_out == (
        f"xrays: pneumoniamnist is not in {data}; `epochal data get pneumoniamnist --root {data}` fetches it",
    )


def test_a_study_all_of_whose_arms_lack_their_data_says_so(data: Path) -> None:
    text = TEXT.replace('"digits": arm(4), ', "")
    (data.parent / "own.py").write_text(text)
    with pytest.raises(UserError, match="no arm of the study has its data: xrays: pneumoniamnist is not in"):
        planned(data)
    (data.parent / "own.py").write_text(TEXT.replace('("pneumoniamnist",', '("pneumoniamnost",'))
    with pytest.raises(UserError, match="arm xrays: no data set 'pneumoniamnost': did you mean"):
        planned(data)


def test_an_arm_says_once_which_data_it_has(data: Path) -> None:
    (data.parent / "own.py").write_text(TEXT.replace('"n_train": 40', '"data": "digits"'))
    with pytest.raises(UserError, match=r"an arm has data=pneumoniamnist, part\.npz and a field data"):
        planned(data)
