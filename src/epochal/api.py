"""epochal in Python: what ``epochal run``, ``load`` and ``load_many`` are made of."""

import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from epochal.core.values.meaningless import refuse_meaningless
from epochal.core.values.request import Request
from epochal.core.values.settings import is_none
from epochal.experiments.catalog import Experiment, find, named
from epochal.launch.watching.listener import Listener, Silent
from epochal.store import run as stored
from epochal.store.catalog import find_run
from epochal.store.many import load_many
from epochal.store.paths import RunPaths
from epochal.store.run import Run

if TYPE_CHECKING:
    from epochal.launch.layout import Layout
    from epochal.launch.studies.conduct import Conducted
    from epochal.launch.studies.plan import StudyPlan
    from epochal.launch.watching.mirror import Mirror

__all__ = [
    "conduct", "execute", "extend", "load", "load_many", "place", "progress_bar", "request", "run",
    "runs_folder", "studies_folder", "study",
]  # fmt: skip


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

    ``experiment`` may be a preset's name: ``run("credit")`` is ``run("images", preset="credit")``.

    Any varying field takes one value, a sequence, or text in the command line's grammar
    (``seed=range(5)``, ``seed="0:5"``). ``runs`` is the folder of runs (default ``$EPOCHAL_RUNS`` or
    ``./runs``). ``again`` makes a fresh run where one exists.

    Raises:
        UserError: all that is wrong with the fields, or what stopped the run.
        KeyboardInterrupt: after storing the state; the same call resumes.
    """
    (found, preset), folder = named(experiment, preset), runs_folder(runs)
    return execute(found, request(found, fields, preset, folder), folder, _listener(progress), again=again)


def request(experiment: Experiment, fields: Mapping[str, object], preset: str | None, runs: Path) -> Request:
    """The population that the fields stand for; ``checkpoint=RUN@step`` takes over the fields of that run.

    Raises:
        UserError: all that is wrong with them.
    """
    if is_none(fields.get("checkpoint")):
        return refuse_meaningless(experiment.request(fields, preset))
    from epochal.launch.branch import branched

    return refuse_meaningless(branched(experiment, fields, preset, runs))


def extend(
    run: Run | Path | str, *, runs: Path | str | None = None, progress: bool = True, **fields: Any
) -> Run:
    """Trains what a run lacks: more members (``seed="5:10"``) or more steps (``max_steps=20_000``).

    A new run adopts what the old one has, which stays as it is.

    Raises:
        UserError: nothing to add, or a field that cannot grow.
    """
    from epochal.launch.extend import adoption, extended

    folder = runs_folder(runs)
    old = run if isinstance(run, Run) else load(find_run(run, folder))
    grown = extended(old, fields, folder)
    return execute(
        find(grown.experiment), grown, folder, _listener(progress), layout_of=lambda: adoption(old, grown)
    )


def execute(
    experiment: Experiment,
    request: Request,
    runs: Path,
    listener: Listener,
    *,
    again: bool = False,
    layout_of: "Callable[[], Layout] | None" = None,
    path: Path | None = None,
) -> Run:
    """Trains what is requested, writes its report, and opens the finished run; ``path`` is where it lies."""
    from epochal.launch.execute import (
        execute as execute_request,
    )  # torch: seconds that `--help` must not wait for
    from epochal.report.page import write_report
    from epochal.report.shortcut_log import has_shortcut_log

    path = path or place(request, runs, again=again)
    mirror = _mirror(request, listener)
    command = request.command + (" --again" if path.name != request.name else "")

    def close(path: Path) -> None:
        if has_shortcut_log(load(path)):
            shortcut_logs(load(path))
        write_report(load(path))
        if mirror is not None:
            mirror.close()

    execute_request(
        experiment,
        request,
        path,
        mirror or listener,
        command=command,
        layout=layout_of() if layout_of and not path.exists() else None,
        before_done=close,
    )
    return load(path)


def shortcut_logs(run: Run) -> list[Path]:
    """Writes ``history.json`` and ``summary.json`` of every member under CausalGrok's names into the run.

    Accuracy on the test split, which the summary has, is measured at the last snapshot where it was not yet.
    The folders, by member.

    Raises:
        UserError: the run has no shortcut.
    """
    from epochal.launch.tested import test_accuracy
    from epochal.report.shortcut_log import has_shortcut_log, write_shortcut_logs

    return write_shortcut_logs(run, test_accuracy(run) if has_shortcut_log(run) else None)


def study(
    subject: str,
    *,
    quick: bool = False,
    look: int | None = None,
    again: bool = False,
    runs: Path | str | None = None,
    studies: Path | str | None = None,
    progress: bool = True,
    **overrides: Any,
) -> "Conducted":
    """Conducts a study by its name, or one of your own as ``./FILE.py:NAME``; what was done before is kept.

    ``quick`` takes its quick form. ``overrides`` are fields of its arms, or ``**{"margins.NAME": 2}``; they
    and ``quick`` make every finding exploratory. ``look`` goes as far as that look.

    Raises:
        UserError: what is wrong with the study or an override, or what stopped it.
        KeyboardInterrupt: after storing the state; the same call resumes.
    """
    from epochal.launch.studies.resolve import resolve
    from epochal.studies import find as find_study

    folder = runs_folder(runs)
    plan = resolve(find_study(subject), is_quick=quick, overrides=overrides, runs=folder)
    return conduct(plan, folder, studies_folder(studies, folder), _listener(progress), look=look, again=again)


def conduct(
    plan: "StudyPlan",
    runs: Path,
    studies: Path,
    listener: Listener,
    *,
    look: int | None = None,
    again: bool = False,
) -> "Conducted":
    """Trains and analyses what is planned, and writes the page of the study."""
    from epochal.launch.studies.conduct import conduct as conduct_study
    from epochal.report.study import write_study_report

    return conduct_study(
        plan,
        studies,
        runs,
        lambda experiment, request, path: execute(experiment, request, runs, listener, path=path),
        look=look,
        again=again,
        place_of=lambda request, fresh: place(request, runs, again=fresh),
        report=write_study_report,
    )


def studies_folder(given: Path | str | None, runs: Path) -> Path:
    """The folder of studies: as given, else ``$EPOCHAL_STUDIES``, else ``studies`` beside the runs."""
    return Path(given or os.environ.get("EPOCHAL_STUDIES") or runs.parent / "studies")


def place(request: Request, runs: Path, *, again: bool = False) -> Path:
    """Where the run of a request lies or will lie; ``again`` goes on to the first repeat that is not done."""
    path = runs / request.name
    repeats = (path.with_name(f"{path.name}.{number}") for number in itertools.count(2))
    if again and path.exists():
        return next(repeat for repeat in repeats if not RunPaths(repeat).done.exists())
    return path


def load(path: Path | str) -> Run:
    """A stored run, finished or under way: its directory, or a unique part of its name in the folder of runs.

    Raises:
        UserError: there is no such run, or it is of a format this version does not read.
    """
    place = find_run(path, runs_folder(None))
    return stored.load(place, modeller=_model, exporter=_export, painter=_figures, prober=_probe)


def runs_folder(given: Path | str | None) -> Path:
    """The folder of runs: as given, else ``$EPOCHAL_RUNS``, else ``./runs``."""
    return Path(given or os.environ.get("EPOCHAL_RUNS") or "runs")


def _model(run: Run, member: int, step: int | None) -> Any:
    from epochal.experiments.restore import restore

    return restore(run, member, step)


def _export(run: Run, member: int, step: int | None, path: Path) -> Path:
    from epochal.experiments.export import export

    return export(run, member, step, path)


def _figures(run: Run) -> Any:
    from epochal.report.notebook import figures_of

    return figures_of(run)


def _mirror(request: Request, listener: Listener) -> "Mirror | None":
    if request.spec.wandb == "disabled":
        return None
    from epochal.launch.watching.mirror import Mirror

    return Mirror(request, listener)


def _probe(
    run: Run,
    name: str,
    options: Mapping[str, object],
    *,
    members: Iterable[int] | None,
    steps: Iterable[int] | None,
    progress: bool,
) -> pl.DataFrame:
    from epochal.launch.measuring import measure_snapshots, measurement

    wanted = measurement(run, name, options)
    with progress_bar(wanted.probe.name, is_shown=progress) as advance:
        return measure_snapshots(
            run,
            wanted,
            members=None if members is None else [int(member) for member in members],
            steps=None if steps is None else [int(step) for step in steps],
            progress=advance,
        )


@contextmanager
def progress_bar(label: str, *, is_shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error that is told how much is done, and of how much."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not is_shown) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _listener(progress: bool) -> Listener:
    if not progress:
        return Silent()
    from rich.console import Console

    from epochal.launch.watching.live import LiveDisplay
    from epochal.launch.watching.notebook import NotebookDisplay, notebook_show

    show = notebook_show()
    return NotebookDisplay(show) if show else LiveDisplay(Console(file=sys.stderr))
