"""Commands that look at what is there and train nothing: show, ls, report."""

from pathlib import Path
from typing import Annotated

import typer

from epochal.cli.app import JsonOption, RunsOption, StudiesOption, app, print_run, print_table, settings_of
from epochal.cli.waiting import waiting
from epochal.core.values.errors import UserError


@app.command()
def show(
    subject: Annotated[
        str | None, typer.Argument(help="An experiment, a run or a study (any unique part of its name).")
    ] = None,
    preset: Annotated[str | None, typer.Argument(help="Show the fields as this preset sets them.")] = None,
    runs: RunsOption = None,
    studies: StudiesOption = None,
    as_json: JsonOption = False,
) -> None:
    """What there is to run, its fields; what a run or study found."""
    from epochal import listings
    from epochal.experiments import catalog

    if subject is None:
        print_table(listings.experiments(), as_json)
    elif subject in catalog.names():
        print_table(listings.fields(catalog.find(subject), preset), as_json)
    elif preset is None and subject in catalog.preset_names():
        print_table(listings.fields(*catalog.named(subject)), as_json)
    else:
        _show_made(subject, runs, studies, as_json)


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
    only: Annotated[str, typer.Option(metavar="WORD", help="runs or studies; by default both.")] = "",
    runs: RunsOption = None,
    studies: StudiesOption = None,
    as_json: JsonOption = False,
) -> None:
    """The runs and studies there are, newest last. As JSON the runs, or what --only says."""
    from epochal import listings, study_listings
    from epochal.api import runs_folder, studies_folder
    from epochal.store.filter import Filter

    if only not in ("", "runs", "studies"):
        raise UserError(f"--only {only} is neither runs nor studies")
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
    made: list[dict[str, object]] = []
    if only == "studies" and (fields or outcome):
        raise UserError("fields and outcomes are those of runs; of studies give a part of the name")
    if only != "runs" and not (fields or outcome) and (only or not as_json):
        made = study_listings.studies(studies_folder(studies, folder), wanted.text)
    if only == "studies":
        if made or as_json:
            print_table(made, as_json)
        else:
            typer.echo(
                f"no studies in {studies_folder(studies, folder)}; `epochal study` lists what there is"
            )
        return
    rows = listings.runs(folder, wanted)
    if rows or as_json:
        print_table(rows if as_json else listings.readable_runs(rows), as_json)
    elif words or outcome:
        typer.echo(f"no run in {folder} fits; `epochal ls` lists all")
    else:
        typer.echo(f"no runs in {folder}; `epochal demo` makes one")
    if made:
        typer.echo("\nstudies")
        print_table(made, as_json=False)


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
        with waiting() as tell:
            written = write_report(load(path), tell=tell)
        typer.echo(written)


def _show_made(name: str, runs: Path | None, studies: Path | None, as_json: bool) -> None:
    """A run or a study, whichever the name means; a run where both are of exactly that name."""
    from epochal import study_listings
    from epochal.api import runs_folder, studies_folder
    from epochal.experiments import catalog
    from epochal.store.catalog import find_run
    from epochal.store.run import load
    from epochal.store.studies import find_study
    from epochal.studies import find as find_declared
    from epochal.studies import names as declared_studies

    folder = runs_folder(runs)
    places = studies_folder(studies, folder)
    found: list[Path] = []
    problems = []
    for find, place in ((find_run, folder), (find_study, places)):
        try:
            found.append(find(name, place))
        except UserError as error:
            problems.append((str(error), "fits" in str(error)))
    if len(found) == 2 and name not in (path.name for path in found):
        raise UserError(f"{name!r} fits the run {found[0].name} and the study {found[1].name}; give more")
    if any(several for _, several in problems):
        raise UserError(next(text for text, several in problems if several))
    if not found and name.replace("_", "-") in declared_studies():
        known = find_declared(name)
        if as_json:
            print_table([study_listings.as_declared(known.name, known.study)], True)
            return
        typer.echo("\n".join(study_listings.declared(known.study)))
        typer.echo(f"\nnot conducted yet: epochal study {name} --plan says what it costs")
        return
    if not found:
        raise UserError(f"{problems[0][0]}; experiments are {', '.join(catalog.names())}")
    path = next((path for path in found if path.name == name), found[0])
    if (path / "spec.json").exists():
        print_run(load(path), as_json)
    elif as_json:
        print_table(study_listings.analyses(path), as_json)
    else:
        typer.echo("\n".join(study_listings.shown(path)))
