"""Runs and pages that several tests read; writing one takes seconds."""

from pathlib import Path

import pytest

from epochal.core.values.figure import FigureSpec
from epochal.report.figures import page_figures as figures
from epochal.report.page import page, write_report
from epochal.report.thinning import thinned
from tests.report.runs import FakeRun, grokking_run


@pytest.fixture(scope="session")
def five(tmp_path_factory: pytest.TempPathFactory) -> FakeRun:
    return grokking_run(tmp_path_factory.mktemp("five"))


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> FakeRun:
    """200 members: 40 seeds at five weight decays; some never generalise, some diverge."""
    path = tmp_path_factory.mktemp("many")
    return grokking_run(
        path, num_seeds=40, weight_decays=(0.1, 0.3, 1.0, 3.0, 10.0), never=0.15, diverging=0.1
    )


@pytest.fixture(scope="session")
def many_figures(many: FakeRun) -> list[FigureSpec]:
    return figures(many)


@pytest.fixture(scope="session")
def many_drawn(many_figures: list[FigureSpec]) -> list[FigureSpec]:
    return [thinned(spec) for spec in many_figures]


@pytest.fixture(scope="session")
def many_page(many: FakeRun, many_drawn: list[FigureSpec]) -> str:
    return page(many, many_drawn)


@pytest.fixture(scope="session")
def written(five: FakeRun) -> Path:
    """The page of five members, with its figures beside it."""
    return write_report(five)
