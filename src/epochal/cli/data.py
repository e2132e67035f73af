"""Commands on image sets: data list, where, verify, get."""

from pathlib import Path
from typing import Annotated

import typer

from epochal.cli.app import JsonOption, app, print_table
from epochal.core.values.errors import UserError

data_app = typer.Typer(help="Image sets: what is there, what is missing, how to get it.")
app.add_typer(data_app, name="data", no_args_is_help=True)

RootOption = Annotated[
    Path | None,
    typer.Option("--root", metavar="DIR", help="Folder of data sets; default $EPOCHAL_DATA, else ./data."),
]


@data_app.command("list")
def data_list(root: RootOption = None, as_json: JsonOption = False) -> None:
    """Every known set: whether it is there, size, licence, official source."""
    from epochal import listings

    print_table(listings.data_sets(root), as_json)


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
    print_table(listings.data_files(states), as_json)
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
