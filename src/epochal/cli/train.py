"""Commands that train: demo, run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from epochal.cli.app import (
    INTERRUPTED,
    FieldsArgument,
    JsonOption,
    RunArgument,
    RunsOption,
    app,
    end,
    print_run,
    print_table,
    settings_of,
)
from epochal.cli.background import start_detached
from epochal.cli.waiting import waiting
from epochal.core.values.errors import UserError

DetachOption = Annotated[
    bool, typer.Option("--detach", help="Train in the background; it goes on when the terminal closes.")
]


@app.command()
def demo(detach: DetachOption = False, runs: RunsOption = None, as_json: JsonOption = False) -> None:
    """The main job in a minute: five networks that grok addition."""
    _train("algorithmic", ["preset=demo"], runs, as_json, is_detached=detach)


@app.command()
def run(
    experiment: Annotated[
        str, typer.Argument(help="An experiment, or a preset's name; `epochal show` lists them.")
    ],
    fields: FieldsArgument = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it costs; train nothing.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Make a fresh run even if this one exists.")] = False,
    is_compiled: Annotated[bool, typer.Option("--compile", help="The same as compile=true.")] = False,
    detach: DetachOption = False,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a population: seed=0:5 weight_decay=0.1,0.3,1. The same request resumes, or returns its run."""
    words = [*(fields or []), *(["compile=true"] if is_compiled else [])]
    if plan:
        _show_plan(experiment, words, runs, as_json)
    else:
        _train(experiment, words, runs, as_json, again=again, is_detached=detach)


@app.command()
def extend(
    name: RunArgument,
    fields: Annotated[
        list[str],
        typer.Argument(metavar="FIELD=VALUE...", help="What to add: seed=5:10, or max_steps=20000."),
    ],
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train what a run lacks: more members, or more steps.

    A new run adopts what there is; the old one stays as it is.
    """
    from epochal import api
    from epochal.launch.interrupts import Interrupted

    settings, preset = settings_of(fields)
    if preset is not None:
        raise UserError(f"preset={preset}: a run keeps its preset; give the fields to extend")
    try:
        grown: dict[str, Any] = settings
        finished = api.extend(name, runs=runs, **grown)
    except Interrupted as error:
        end(str(error), INTERRUPTED)
    print_run(finished, as_json)


def _show_plan(experiment: str, words: Sequence[str], runs: Path | None, as_json: bool) -> None:
    from epochal import api, listings
    from epochal.experiments import catalog
    from epochal.launch.plan import plan

    settings, preset = settings_of(words)
    found, preset = catalog.named(experiment, preset)
    request = api.request(found, settings, preset, api.runs_folder(runs))
    with waiting() as tell:
        tell("timing updates", 0, 0)
        made = plan(found, request)
    print_table(listings.packs(made), as_json)
    if not as_json:
        typer.echo(listings.plan_summary(made))


def _train(
    experiment: str,
    words: Sequence[str],
    runs: Path | None,
    as_json: bool,
    *,
    again: bool = False,
    is_detached: bool = False,
) -> None:
    from rich.console import Console

    from epochal import api
    from epochal.experiments import catalog
    from epochal.launch.interrupts import Interrupted
    from epochal.launch.watching.live import LiveDisplay

    settings, preset = settings_of(words)
    found, preset = catalog.named(experiment, preset)
    folder = api.runs_folder(runs)
    request = api.request(found, settings, preset, folder)
    if is_detached:
        path = api.place(request, folder, again=again)
        start_detached([experiment, *words, *(["--again"] if again else [])], path, as_json)
        return
    try:
        display = LiveDisplay(Console(stderr=True))
        finished = api.execute(found, request, folder, display, again=again)
    except Interrupted as error:
        end(str(error), INTERRUPTED)
    print_run(finished, as_json)
