"""Commands for runs that train in the background: attach, stop, logs; and how ``--detach`` starts one."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from epochal.cli.app import INTERRUPTED, JsonOption, RunsOption, app, end, print_run, print_table
from epochal.core.values.errors import UserError


@app.command()
def attach(
    name: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run; by default the only one that is at work.")
    ] = None,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch a run at work until it ends; Ctrl-C leaves it alone. A finished one is shown."""
    from rich.console import Console

    from epochal.api import load, runs_folder
    from epochal.launch.watching.follow import follow
    from epochal.launch.watching.live import LiveDisplay
    from epochal.store.catalog import find_run, standing
    from epochal.store.lock import is_held

    path = _at_work(runs_folder(runs)) if name is None else find_run(name, runs_folder(runs))
    run = load(path)
    if is_held(run.paths.lock):
        try:
            follow(run, LiveDisplay(Console(stderr=True)))
        except KeyboardInterrupt:
            typer.echo(f"detached; {run.name} goes on (`epochal attach`, `epochal stop`)", err=True)
            return
        if not run.is_done:
            end(f"{run.name} has stopped: {standing(path)}; {_remedy(path, runs)}", INTERRUPTED)
    elif not run.is_done:
        raise UserError(f"{run.name} is not at work: {standing(path)}; {_remedy(path, runs)}")
    print_run(load(path), as_json)


@app.command()
def stop(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Runs at work: paths, or unique parts of their names."),
    ],
    runs: RunsOption = None,
) -> None:
    """Stop runs at work after the update they are in. Waits until they have stored their states."""
    from rich.console import Console

    from epochal.api import runs_folder
    from epochal.launch.background.stop import ask_to_stop, stoppable
    from epochal.launch.watching.follow import LOOK_SECONDS, pause
    from epochal.store.catalog import find_run, standing
    from epochal.store.lock import is_held
    from epochal.store.paths import RunPaths

    paths = list(dict.fromkeys(find_run(name, runs_folder(runs)) for name in names))
    for path in paths:
        stoppable(path)  # all or none: nothing is asked before every name is good
    asked = {path: ask_to_stop(path) for path in paths}
    with Console(stderr=True).status("") as status:
        for number, path in enumerate(paths):
            status.update(f"waiting for process {asked[path].pid} ({number + 1} of {len(paths)})")
            while is_held(RunPaths(path).lock):
                pause(LOOK_SECONDS)
    for path in paths:
        if RunPaths(path).done.exists():
            typer.echo(f"{path.name} finished before it could stop")
        else:
            typer.echo(f"{path.name} has stopped: {standing(path)}; {_remedy(path, runs)}")


@app.command()
def logs(
    name: Annotated[
        str, typer.Argument(metavar="RUN", help="A run: its path, or a unique part of its name.")
    ],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as lines come, until the run ends or Ctrl-C.")
    ] = False,
    runs: RunsOption = None,
) -> None:
    """Print what a run noted, and what a detached one printed. These are log.txt and output.txt."""
    from epochal.api import runs_folder
    from epochal.launch.watching.follow import LOOK_SECONDS, pause
    from epochal.store.catalog import find_run
    from epochal.store.lock import is_held
    from epochal.store.paths import RunPaths
    from epochal.store.tail import TextTail

    paths = RunPaths(find_run(name, runs_folder(runs)))
    tails = {path.name: TextTail(path) for path in (paths.log, paths.output)}
    shown = ""
    try:
        while True:
            is_last = not (follow and is_held(paths.lock))
            for file, tail in tails.items():
                lines = tail.new_lines(also_unfinished=is_last)
                if lines and file != shown:
                    typer.echo(f"==> {file} <==")
                    shown = file
                for line in lines:
                    typer.echo(line)
            if is_last:
                break
            pause(LOOK_SECONDS)
    except KeyboardInterrupt:
        return
    if not shown:
        typer.echo(f"{paths.run.name} has noted nothing so far", err=True)


def start_detached(words: Sequence[str], path: Path, as_json: bool) -> None:
    """``epochal run WORDS...`` in the background, and how to reach it; a finished run is shown instead.

    Raises:
        UserError: the run is at work already, or what is wrong with the request.
    """
    from rich.console import Console

    from epochal.api import load
    from epochal.launch.background.detach import detach
    from epochal.store.lock import is_held
    from epochal.store.paths import RunPaths

    paths = RunPaths(path)
    if is_held(paths.lock):
        raise UserError(f"{path.name} is at work already; `epochal attach {path.name}` watches it")
    pid = None
    if not paths.done.exists():
        with Console(stderr=True).status("starting"):
            pid = detach(["run", *words, "--runs", str(path.parent.resolve())], path)
    if pid is None:
        print_run(load(path), as_json)
    elif as_json:
        print_table([{"run": str(path), "process": pid}], as_json)
    else:
        typer.echo(f"run     {path}\nprocess {pid}")
        for what in ("attach", "stop", "logs"):
            typer.echo(f"{what:<7} epochal {what} {path}")


def _at_work(folder: Path) -> Path:
    """The one run of the folder that is at work."""
    from epochal.store.catalog import run_paths
    from epochal.store.lock import is_held
    from epochal.store.paths import RunPaths

    found = [path for path in run_paths(folder) if is_held(RunPaths(path).lock)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"{len(found)} runs are at work; name one: {', '.join(path.name for path in found[:5])}"
        )
    raise UserError(f"no run in {folder} is at work; `epochal ls` lists all, `epochal attach RUN` shows one")


def _remedy(path: Path, runs: Path | None) -> str:
    """How to go on with an interrupted run; its own command does not know in which folder it lies."""
    from epochal.store.documents import read_spec

    place = f" --runs {shlex.quote(str(runs))}" if runs else ""
    return f"to resume, give {read_spec(path)['command']}{place}"
