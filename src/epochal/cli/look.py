"""Commands that look at what is there and train nothing: show, ls, report."""

from pathlib import Path
from typing import Annotated

import typer

from epochal.cli.app import JsonOption, RunsOption, app, print_run, print_table, settings_of
from epochal.core.values.errors import UserError


@app.command()
def show(
    subject: Annotated[
        str | None, typer.Argument(help="An experiment, or a run (any unique part of its name).")
    ] = None,
    preset: Annotated[str | None, typer.Argument(help="Show the fields as this preset sets them.")] = None,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """What there is to run, what fields it takes, what a run found."""
    from epochal import listings
    from epochal.experiments import catalog

    if subject is None:
        print_table(listings.experiments(), as_json)
    elif subject in catalog.names():
        print_table(listings.fields(catalog.find(subject), preset), as_json)
    else:
        _show_run(subject, runs, as_json)


@app.command()
def ls(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT] [FIELD=VALUE]...",
            help="Part of the name; values that members have: weight_decay=0.1,1 seed=0:5 experiment=images.",
        ),
    ] = None,
    outcome: Annotated[
        str, typer.Option(metavar="WORD", help="finished, diverged, running, interrupted or unreadable.")
    ] = "",
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """The runs there are, newest last."""
    from epochal import listings
    from epochal.api import runs_folder
    from epochal.store.filter import Filter

    texts = [word for word in words or () if "=" not in word]
    if len(texts) > 1:
        raise UserError(
            f"{texts[1]!r} is a second text; give one part of the name, and fields as FIELD=VALUE"
        )
    settings, preset = settings_of([word for word in words or () if "=" in word])
    fields = {name: str(value) for name, value in settings.items()}
    fields |= {} if preset is None else {"preset": preset}
    wanted = Filter(text=texts[0] if texts else "", fields=fields, outcome=outcome)
    folder = runs_folder(runs)
    rows = listings.runs(folder, wanted)
    if rows or as_json:
        print_table(rows if as_json else listings.readable_runs(rows), as_json)
    elif words or outcome:
        typer.echo(f"no run in {folder} fits; `epochal ls` lists all")
    else:
        typer.echo(f"no runs in {folder}; `epochal demo` makes one")


@app.command()
def report(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Runs: paths, or unique parts of their names.")
    ],
    runs: RunsOption = None,
) -> None:
    """Write the page and the figures of stored runs again."""
    from epochal.api import runs_folder
    from epochal.report.page import write_report
    from epochal.store.catalog import find_run
    from epochal.store.run import load

    paths = [find_run(name, runs_folder(runs)) for name in names]
    for path in paths:
        typer.echo(write_report(load(path)))


def _show_run(name: str, runs: Path | None, as_json: bool) -> None:
    from epochal.api import runs_folder
    from epochal.experiments import catalog
    from epochal.store.catalog import find_run
    from epochal.store.run import load

    try:
        path = find_run(name, runs_folder(runs))
    except UserError as error:
        raise UserError(f"{error}; experiments are {', '.join(catalog.names())}") from error
    print_run(load(path), as_json)
