"""The command that makes runs of other programs' logs: import."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epochal.cli.app import RunsOption, app
from epochal.cli.waiting import waiting
from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean

if TYPE_CHECKING:
    from epochal.store.foreign.log import Log

KINDS = {
    "lightning": "Lightning",
    "tensorboard": "TensorBoard",
    "wandb": "W&B",
    "csv": "table",
    "jsonl": "table",
    "parquet": "table",
}
EPOCHS = ("halved", "logged")


@app.command("import")
def bring(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"Of the logs: {', '.join(KINDS)}.")],
    paths: Annotated[list[Path], typer.Argument(metavar="DIR|FILE...", help="Files, or folders of them.")],
    step: Annotated[str, typer.Option(metavar="COLUMN", help="The step; by default guessed.")] = "",
    run: Annotated[str, typer.Option(metavar="COLUMN", help="What tells runs apart; guessed.")] = "",
    value: Annotated[str, typer.Option(metavar="COLUMN", help="A measure that must be there.")] = "",
    arm: Annotated[str, typer.Option(metavar="A,B", help="Columns that are fields of the members.")] = "",
    percent: Annotated[
        bool | None, typer.Option("--percent/--fraction", help="Unit of accuracies; by default seen.")
    ] = None,
    step_offset: Annotated[
        int | None, typer.Option(metavar="N", help="Added to steps to make them completed updates.")
    ] = None,
    epochs: Annotated[
        str, typer.Option(metavar="WHICH", help="MIML-grokking counts epochs twice: halved, or logged.")
    ] = "halved",
    runs: RunsOption = None,
) -> None:
    """Make a run of logs from elsewhere. The same logs are the same run."""
    from epochal.api import runs_folder
    from epochal.launch.importing import import_found
    from epochal.report.page import write_report
    from epochal.store.foreign.columns import Reading
    from epochal.store.foreign.copies import without_copies
    from epochal.store.foreign.miml import in_our_terms, is_miml
    from epochal.store.foreign.population import population
    from epochal.store.run import load

    if kind not in KINDS:
        raise UserError(f"import {kind}: no such kind of logs{did_you_mean(kind, KINDS)}")
    if epochs not in EPOCHS:
        raise UserError(f"--epochs {epochs} is not one of {', '.join(EPOCHS)}")
    arms = tuple(word.strip() for word in arm.split(",") if word.strip())
    reading = Reading(step=step, run=run, value=value, arms=arms, percent=percent, offset=step_offset)
    with waiting() as tell:
        logs = without_copies(_read(list(dict.fromkeys(paths)), lambda n, of: tell("reading logs", n, of)))
        tell("joining logs", 0, 0)
        for log in logs:
            if not log.program.startswith(KINDS[kind]):
                raise UserError(
                    f"{log.path} is a log of kind {log.program}, not {kind}; import it as what it is"
                )
        logs = [in_our_terms(log, halve_epochs=epochs == "halved") if is_miml(log) else log for log in logs]
        found, _ = population(logs, reading)
    if found.unit == "epochs":
        raise UserError(
            f"{logs[0].path} counts epochs only; a run needs completed updates: name them with --step"
        )
    if not found.metrics["step"].dtype.is_integer():
        raise UserError(f"{logs[0].path} has steps that are no whole numbers, and completed updates are")
    for line in found.taken:
        typer.echo(line)
    first = paths[0].resolve()
    name = first.name if first.is_dir() else first.stem if first.stem != "metrics" else first.parent.name
    with waiting() as tell:
        path, is_new = import_found(
            found,
            runs_folder(runs),
            label=name,
            program=logs[0].program,
            before_done=lambda path: write_report(load(path), tell=tell),
            tell=tell,
        )
    made = load(path)
    if names := made.spec["imported"]["names"]:
        typer.echo("named   " + ", ".join(f"{old} -> {new}" for old, new in names.items()))
    typer.echo(f"members {len(made.members)}{'' if is_new else ' (imported before)'}")
    typer.echo(f"run     {path}\nreport  {made.paths.report}")


def _read(paths: Sequence[Path], progress: Callable[[int, int], None]) -> "list[Log]":
    """The logs at all paths; progress is over the logs of one folder, or over several paths."""
    from epochal.store.foreign.sources import read_logs

    if len(paths) == 1:
        return read_logs(paths[0], progress)
    logs = []
    for number, path in enumerate(paths):
        progress(number, len(paths))
        logs += read_logs(path)
    return logs
