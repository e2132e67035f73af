"""One thread for every test, and no limit on its time: both would tell how busy the machine is.

Small networks gain nothing from two threads, and other tests run beside them.
"""

import os

import hypothesis
import pytest

os.environ["OMP_NUM_THREADS"] = "1"

hypothesis.settings.register_profile("epochal", deadline=None)
hypothesis.settings.load_profile("epochal")


@pytest.fixture
def without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end without their page and its figures, which take longer than to train a small network."""
    monkeypatch.setattr("epochal.report.page.write_report", lambda run, **_options: run.path / "report.html")
