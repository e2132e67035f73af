"""A run in a notebook: progress in one output that is replaced, a card, figures without a network."""

import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

import epochal
from epochal.launch.watching.notebook import NotebookDisplay

CELL = """
import epochal
run = epochal.run("algorithmic", modulus=7, width=8, heads=2, max_steps=200, record_every=20,
                  seed=range(2), threads=1, runs={runs!r})
"""


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("nbclient", "ipykernel")),
    reason="pip install nbclient ipykernel to run this in a real kernel",
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_in_a_real_kernel(tmp_path: Path) -> None:
    nbclient, v4 = importlib.import_module("nbclient"), importlib.import_module("nbformat.v4")
    cells = [CELL.format(runs=str(tmp_path)), "run", "run.figures()[0]", "run.figures()"]
    notebook = v4.new_notebook(cells=[v4.new_code_cell(text) for text in cells])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    progress, card, figure, figures = ([dict(out) for out in cell.outputs] for cell in notebook.cells)
    assert len(progress) == 1, "one output, replaced: neither a line per update nor anything on stderr"
    html = progress[0]["data"]["text/html"]
    assert "2 members, 200 steps, into" in html and "seed 1" in html
    assert not re.search(r"\x1b|% of the updates done|━", html)
    assert "<table" in card[0]["data"]["text/html"] and "2 finished" in card[0]["data"]["text/html"]
    assert figure[0]["data"]["image/svg+xml"].startswith("<svg")
    assert figures[0]["data"]["text/html"].count("<svg") >= 3


@pytest.mark.usefixtures("without_pages")
def test_the_output_is_replaced_and_ends_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, page: Any) -> None:
            shown.append(page._repr_html_())

    def show(page: Any) -> Handle:
        assert not shown, "displayed once"
        shown.append(page._repr_html_())
        return Handle()

    monkeypatch.setattr("epochal.api._listener", lambda _: NotebookDisplay(show))
    monkeypatch.setattr("epochal.launch.watching.notebook.REFRESH_SECONDS", 0.0)
    run = epochal.run(
        "algorithmic", modulus=7, width=8, heads=2, max_steps=20, record_every=5, threads=1, runs=tmp_path
    )
    assert len(shown) > 20 and "10/20" in shown[11] and "validation accuracy" in shown[-1]
    card = run._repr_html_()
    assert run.name in card and card.count("<tr>") == 2 and "finished" in card


def test_figures_by_name_and_number(tmp_path: Path) -> None:
    run = epochal.run(
        "algorithmic", modulus=7, width=8, heads=2, max_steps=20, threads=1, runs=tmp_path, progress=False
    )
    figures = run.figures()
    names = [figure.name for figure in figures]
    assert set(names) == {path.stem for path in (run.path / "figures").glob("*.svg")}
    assert figures["loss"] is figures[names.index("loss")]
    assert figures["loss"].svg.encode() == (run.path / "figures/loss.svg").read_bytes()
    assert figures["loss"].chart.to_dict()["vconcat"]
    assert {path.suffix for path in figures["loss"].save(tmp_path / "paper")} == {
        ".svg",
        ".pdf",
        ".png",
        ".csv",
    }
    with pytest.raises(epochal.UserError, match="no figure 'los': did you mean 'loss'"):
        figures["los"]
