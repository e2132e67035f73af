"""epochal in Python: what ``epochal run``, ``load`` and ``load_many`` are made of."""

import itertools
import os
import sys
from pathlib import Path
from typing import Any

from epochal.core.values.request import Request
from epochal.experiments.catalog import Experiment, find
from epochal.launch.listener import Listener, Silent
from epochal.store import run as stored
from epochal.store.catalog import find_run
from epochal.store.many import load_many
from epochal.store.paths import RunPaths
from epochal.store.run import Run

__all__ = ["execute", "load", "load_many", "run", "runs_folder"]


def run(
    experiment: str,
    *,
    preset: str | None = None,
    runs: Path | str | None = None,
    progress: bool = True,
    again: bool = False,
    **fields: Any,
) -> Run:
    """Trains a population, or returns the finished run if the same request was made before.

    Any varying field takes one value, a sequence, or text in the command line's grammar
    (``seed=range(5)``, ``seed="0:5"``). ``runs`` is the folder of runs (default ``$EPOCHAL_RUNS`` or
    ``./runs``). ``again`` makes a fresh run where one exists.

    Raises:
        UserError: all that is wrong with the fields, or what stopped the run.
        KeyboardInterrupt: after storing the state; the same call resumes.
    """
    found = find(experiment)
    return execute(found, found.request(fields, preset), runs_folder(runs), _listener(progress), again=again)


def execute(
    experiment: Experiment, request: Request, runs: Path, listener: Listener, *, again: bool = False
) -> Run:
    """Trains what is requested, writes its report, and opens the finished run."""
    from epochal.launch.execute import (
        execute as execute_request,
    )  # torch: seconds that `--help` must not wait for
    from epochal.report.page import write_report

    path = runs / request.name
    repeats = (path.with_name(f"{path.name}.{number}") for number in itertools.count(2))
    if again and path.exists():
        path = next(repeat for repeat in repeats if not RunPaths(repeat).done.exists())
    command = request.command + (" --again" if path.name != request.name else "")
    execute_request(
        experiment,
        request,
        path,
        listener,
        command=command,
        before_done=lambda path: write_report(load(path)),
    )
    return load(path)


def load(path: Path | str) -> Run:
    """A stored run, finished or under way: its directory, or a unique part of its name in the folder of runs.

    Raises:
        UserError: there is no such run, or it is of a format this version does not read.
    """
    return stored.load(find_run(path, runs_folder(None)), modeller=_model)


def runs_folder(given: Path | str | None) -> Path:
    """The folder of runs: as given, else ``$EPOCHAL_RUNS``, else ``./runs``."""
    return Path(given or os.environ.get("EPOCHAL_RUNS") or "runs")


def _model(run: Run, member: int, step: int | None) -> Any:
    from epochal.experiments.restore import restore

    return restore(run, member, step)


def _listener(progress: bool) -> Listener:
    if not progress:
        return Silent()
    from rich.console import Console

    from epochal.launch.live import LiveDisplay

    return LiveDisplay(Console(file=sys.stderr))
