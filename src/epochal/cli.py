"""The command line: what is typed becomes a request; what is known becomes a table."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from epochal.core.values.errors import UserError

INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM."""

app = typer.Typer(
    name="epochal",
    help="A laboratory for training dynamics: populations of small networks, and when they changed.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunsOption = Annotated[
    Path | None,
    typer.Option("--runs", metavar="DIR", help="Folder of runs; default $EPOCHAL_RUNS, else ./runs."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the table as JSON, one array of objects.")]


@app.command()
def demo(runs: RunsOption = None, as_json: JsonOption = False) -> None:
    """The main job in a minute: five networks memorise addition, and generalise much later."""
    _train("algorithmic", ["preset=demo"], runs, as_json)


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help="What to run: `epochal show` lists the experiments.")],
    fields: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FIELD=VALUE]...", help="Any field of the experiment, or preset=NAME."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it costs; train nothing.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Make a fresh run even if this one exists.")] = False,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a population: seed=0:5 weight_decay=0.1,0.3,1. The same request resumes, or returns its run."""
    if plan:
        _show_plan(experiment, fields or [], as_json)
    else:
        _train(experiment, fields or [], runs, as_json, again=again)


@app.command()
def show(
    subject: Annotated[
        str | None, typer.Argument(help="An experiment, or a run (any unique part of its name).")
    ] = None,
    preset: Annotated[str | None, typer.Argument(help="Show the fields as this preset sets them.")] = None,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """What there is to run; every field of an experiment; or what a run found."""
    from epochal import listings
    from epochal.experiments import catalog

    if subject is None:
        _table(listings.experiments(), as_json)
    elif subject in catalog.names():
        _table(listings.fields(catalog.find(subject), preset), as_json)
    else:
        _show_run(subject, runs, as_json)


@app.command()
def ls(runs: RunsOption = None, as_json: JsonOption = False) -> None:
    """The runs there are, newest last."""
    from epochal.api import runs_folder
    from epochal.store.catalog import list_runs

    folder = runs_folder(runs)
    rows = list_runs(folder).to_dicts()
    if not rows and not as_json:
        typer.echo(f"no runs in {folder}; `epochal demo` makes one")
        return
    _table(rows, as_json)


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


data_app = typer.Typer(help="Image sets: what is there, what is missing, where it belongs, fetching it.")
app.add_typer(data_app, name="data", no_args_is_help=True)

RootOption = Annotated[
    Path | None,
    typer.Option("--root", metavar="DIR", help="Folder of data sets; default $EPOCHAL_DATA, else ./data."),
]


@data_app.command("list")
def data_list(root: RootOption = None, as_json: JsonOption = False) -> None:
    """Every known set: whether it is there, size, licence, official source."""
    from epochal import listings

    _table(listings.data_sets(root), as_json)


@data_app.command("where")
def data_where(name: str, root: RootOption = None) -> None:
    """The folder that a set is read from, or belongs into."""
    from epochal.tasks.datasets import catalog

    typer.echo(catalog.where(name, root))


@data_app.command("verify")
def data_verify(name: str, root: RootOption = None, as_json: JsonOption = False) -> None:
    """Compare the checksums of a set's files with the official ones; exit code 2 unless all agree."""
    from epochal import listings
    from epochal.tasks.datasets import catalog

    states = catalog.verify(name, root)
    _table(listings.data_files(states), as_json)
    bad = [state for state in states if state.state != "verified"]
    if bad:
        raise UserError(
            f"{len(bad)} of {len(states)} files of {name} are {bad[0].state}; `epochal data get {name}`"
        )


@data_app.command("get")
def data_get(name: str, root: RootOption = None) -> None:
    """Fetch the official files of a set; a download that was cut off goes on where it stopped."""
    from rich.console import Console
    from rich.progress import Progress

    from epochal.tasks.datasets import catalog

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(name, total=None)
        paths = catalog.get(
            name,
            root,
            lambda file, done, total: progress.update(bar, description=file, completed=done, total=total),
        )
    for path in paths:
        typer.echo(path)
    if not paths:
        typer.echo(f"{name} comes with epochal; there is nothing to fetch")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a command; every foreseen end is one line on standard error and an exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(args=words or ["--help"], standalone_mode=False)
    except UserError as error:
        _end(str(error), 2)
    except TyperException as error:
        _end(_usage(error), 2)
    if code == INTERRUPTED:
        _end("interrupted; to resume from the last stored state, give the same command again", INTERRUPTED)
    sys.exit(code or 0)


def _usage(error: TyperException) -> str:
    """What was wrong with the words of a command, in one line."""
    option = getattr(error, "option_name", None)
    if option and option not in ("--runs", "--json"):
        return f"no option {option}; fields are written {option.lstrip('-')}=VALUE, without dashes"
    return " ".join(error.format_message().split()).rstrip(".") + "; --help shows what there is"


def _show_plan(experiment: str, words: Sequence[str], as_json: bool) -> None:
    from epochal import listings
    from epochal.experiments import catalog
    from epochal.launch.plan import plan

    found = catalog.find(experiment)
    made = plan(found, found.request(*_settings(words)))
    _table(listings.packs(made), as_json)
    if not as_json:
        typer.echo(listings.plan_summary(made))


def _train(
    experiment: str, words: Sequence[str], runs: Path | None, as_json: bool, *, again: bool = False
) -> None:
    from rich.console import Console

    from epochal import api
    from epochal.experiments import catalog
    from epochal.launch.interrupts import Interrupted
    from epochal.launch.live import LiveDisplay

    found = catalog.find(experiment)
    settings, preset = _settings(words)
    request = found.request(settings, preset)
    try:
        display = LiveDisplay(Console(stderr=True))
        finished = api.execute(found, request, api.runs_folder(runs), display, again=again)
    except Interrupted as error:
        _end(str(error), INTERRUPTED)
    _print_run(finished, as_json)


def _settings(words: Sequence[str]) -> tuple[dict[str, object], str | None]:
    settings: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if word.lstrip().startswith("zip("):
            name, equals, value = f"zip{len(settings)}", "=", word
        if not equals or not name.strip():
            raise UserError(f"{word!r} is not FIELD=VALUE; write for example seed=0:5")
        if name in settings:
            raise UserError(
                f"{name} is set twice; give all its values at once: {name}={settings[name]},{value}"
            )
        settings[name.strip()] = value
    preset = settings.pop("preset", None)
    return settings, None if preset is None else str(preset)


def _show_run(name: str, runs: Path | None, as_json: bool) -> None:
    from epochal.api import runs_folder
    from epochal.experiments import catalog
    from epochal.store.catalog import find_run
    from epochal.store.run import load

    try:
        path = find_run(name, runs_folder(runs))
    except UserError as error:
        raise UserError(f"{error}; experiments are {', '.join(catalog.names())}") from error
    _print_run(load(path), as_json)


def _print_run(run: Any, as_json: bool) -> None:
    from epochal import listings

    _table(listings.members(run), as_json)
    if not as_json:
        typer.echo(f"run     {run.path}")
        if run.paths.report.exists():
            typer.echo(f"report  {run.paths.report}")


def _table(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(rows, default=str, indent=1, allow_nan=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0] if rows else ():
        is_number = all(isinstance(row[name], int | float) for row in rows)
        table.add_column(name.replace("_", " "), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    console = Console()
    if not console.is_terminal:
        console.width = 10_000  # a pipe has no margin: one row, one line
    console.print(table)


def _end(text: str, code: int) -> NoReturn:
    for line in text.splitlines() or [""]:
        print(f"epochal: {line}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
