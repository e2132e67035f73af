"""Commands that carry results elsewhere: pack, unpack, export."""

from pathlib import Path
from typing import Annotated

import typer

from epochal.cli.app import RunArgument, RunsOption, app
from epochal.core.values.errors import UserError


@app.command()
def pack(
    name: RunArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Default NAME.tar.gz, here.")
    ] = None,
    with_states: Annotated[
        bool, typer.Option("--with-states", help="With resume states, which can be large.")
    ] = False,
    runs: RunsOption = None,
) -> None:
    """Put a run into one archive, without local paths. The same run gives the same bytes."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress

    from epochal.api import runs_folder
    from epochal.experiments import catalog
    from epochal.store import archive
    from epochal.store.atomic import readable_bytes
    from epochal.store.catalog import find_run
    from epochal.store.documents import read_spec

    path = find_run(name, runs_folder(runs))
    experiment = read_spec(path)["experiment"]
    is_known = experiment in catalog.names()
    columns, console = (*Progress.get_default_columns(), DownloadColumn()), Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("packing", total=None)
        packed = archive.pack(
            path,
            output or Path(f"{path.resolve().name}.tar.gz"),
            with_states=with_states,
            free_fields=catalog.find(experiment).spec_class.of_kind("execute") if is_known else (),
            progress=lambda done, of: progress.update(bar, completed=done, total=of),
        )
    for old, new in sorted(packed.replaced.items()):
        typer.echo(f"replaced {old} by {new}", err=True)
    if packed.note:
        typer.echo(f"note: {packed.note}", err=True)
    typer.echo(f"archive {packed.path}\nsize    {readable_bytes(packed.num_bytes)}\nsha256  {packed.sha256}")


@app.command()
def unpack(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `epochal pack` has written.")],
    runs: RunsOption = None,
) -> None:
    """Put a packed run back among the runs."""
    from rich.console import Console
    from rich.progress import Progress

    from epochal.api import runs_folder
    from epochal.store import archive

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("unpacking", total=None)
        path = archive.unpack(
            file, runs_folder(runs), lambda done, of: progress.update(bar, completed=done, total=of)
        )
    typer.echo(f"run     {path}")


@app.command()
def export(
    name: RunArgument,
    member: Annotated[int, typer.Option("--member", help="Which member.")] = 0,
    step: Annotated[
        int | None, typer.Option("--step", help="A step with a snapshot; the last one by default.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Default NAME-member-step.pt, here."),
    ] = None,
    credit_log: Annotated[
        bool,
        typer.Option(
            "--credit-log", help="Norms and alignment as JSON with bp_log and dfa_log, of the member's seed."
        ),
    ] = False,
    shortcut_log: Annotated[
        bool,
        typer.Option(
            "--shortcut-log", help="history.json and summary.json as CausalGrok has them, of every member."
        ),
    ] = False,
    arviz: Annotated[
        bool, typer.Option("--arviz", help="Traces of the probe llc as netCDF for ArviZ.")
    ] = False,
    table: Annotated[
        str, typer.Option("--table", help="With --arviz, part of a table's name, of several.")
    ] = "",
    runs: RunsOption = None,
) -> None:
    """Write a member's network as a .pt state dict. torch.load(FILE, weights_only=True) reads it."""
    from epochal.api import load, runs_folder, shortcut_logs
    from epochal.store.catalog import find_run
    from epochal.store.credit_log import write_credit_log

    if credit_log and arviz:
        raise UserError("--credit-log and --arviz are two files: give one of them")
    run = load(find_run(name, runs_folder(runs)))
    if shortcut_log:
        if credit_log or arviz or step is not None or output is not None or member:
            raise UserError(
                "--shortcut-log writes every record of every member into the run: leave --credit-log, "
                "--arviz, --member, --step and --output out"
            )
        for folder in shortcut_logs(run):
            typer.echo(folder)
        return
    if credit_log:
        if step is not None:
            raise UserError("--credit-log holds every record; leave --step out")
        typer.echo(write_credit_log(run, output or Path(f"{run.name}-credit.json"), member=member))
        return
    if arviz:
        from epochal.launch.exporting_traces import export_traces

        if step is not None:
            raise UserError("--arviz holds every snapshot that was measured; leave --step out")
        typer.echo(export_traces(run, output or Path(f"{run.name}-llc.nc"), table=table))
        return
    if table:
        raise UserError("--table chooses among traces: give --arviz, too")
    at = step if step is not None else max(run.snapshots, default=0)
    typer.echo(run.export(member, step, output or Path(f"{run.name}-member-{member}-step-{at}.pt")))
