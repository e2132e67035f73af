"""Commands for code of one's own: new, check."""

from pathlib import Path
from typing import Annotated

import typer

from epochal.cli.app import JsonOption, app, print_table
from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean


@app.command()
def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="What to write: probe, rule or study.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name; the file is ./NAME.py.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a complete file to start from. Into the current folder; prints the commands that use it."""
    from epochal.check.new import KINDS, write_new

    chosen = next((known for known in KINDS if known == kind), None)
    if chosen is None:
        raise UserError(f"epochal new {kind}: no such kind{did_you_mean(kind, KINDS)}")
    path, named = write_new(chosen, name, Path(), force=force)
    subject = f"./{path}:{named}"
    uses = {
        "probe": f"epochal run algorithmic preset=demo probes=+{subject}",
        "rule": f"epochal run algorithmic preset=demo rule={subject}",
        "study": f"epochal study {subject} --quick",
    }
    typer.echo(f"wrote ./{path}; what to fill in is marked HERE")
    typer.echo(f"check it  epochal check {subject}")
    typer.echo(f"use it    {uses[chosen]}")


@app.command()
def check(
    subject: Annotated[
        str, typer.Argument(metavar="FILE.py:NAME", help="A probe, a rule or a study of your own.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Check your own probe, rule or study as epochal's are. Exit code 1 if something does not hold."""
    from epochal.check.own import check_own
    from epochal.cli.study_check import check_study

    outcomes = check_own(subject, check_study)
    failed = [outcome for outcome in outcomes if outcome.problem]
    if as_json:
        print_table(
            [{"check": o.check, "passed": not o.problem, "problem": o.problem} for o in outcomes], True
        )
    else:
        for outcome in outcomes:
            typer.echo(f"{'FAIL' if outcome.problem else 'pass'}  {outcome.check}")
            if outcome.problem:
                typer.echo(f"      {outcome.problem}")
        typer.echo(f"{len(outcomes) - len(failed)} of {len(outcomes)} checks hold")
    if failed:
        raise typer.Exit(1)
