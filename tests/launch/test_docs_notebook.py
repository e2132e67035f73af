"""The notebook of the documentation, executed as it stands: it measures what its text says."""

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

import epochal

NOTEBOOK = Path(__file__).parents[2] / "docs/llc_of_grokking.ipynb"


def test_it_is_stored_without_outputs() -> None:
    stored: dict[str, Any] = json.loads(NOTEBOOK.read_text())
    assert all(not cell.get("outputs") for cell in stored["cells"]) and NOTEBOOK.stat().st_size < 8000


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("nbclient", "ipykernel")),
    reason="pip install nbclient ipykernel to run this in a real kernel",
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_coefficient_rises_in_memorisation_and_falls_as_the_network_generalises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHAL_RUNS", str(tmp_path))
    nbclient, nbformat = importlib.import_module("nbclient"), importlib.import_module("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in code)
    svg = code[3].outputs[0]["data"]["image/svg+xml"]
    assert svg.startswith("<svg") and "local learning coefficient" in svg
    (path,) = [place for place in tmp_path.iterdir() if (place / "calibration.json").exists()]
    run = epochal.load(path)
    (name,) = [row["file"] for row in run.probes.iter_rows(named=True) if row["probe"] == "llc"]
    assert name
    found = dict(run.probe("llc", chains=3, progress=False).select("step", "llc").iter_rows())
    assert found[0] < found[150] and found[600] < 0.5 * max(found.values())
    curve = run.metrics.filter(run.metrics["step"].is_in([150, 600]))["val_accuracy"].to_list()
    assert curve[1] > curve[0] + 0.05
