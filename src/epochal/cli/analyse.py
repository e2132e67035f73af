"""The command that analyses runs and other people's logs: analyse."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epochal.cli.app import RunsOption, app, print_table
from epochal.cli.waiting import waiting
from epochal.core.values.errors import UserError

if TYPE_CHECKING:
    from epochal.report.analysing import Analysis, Waiting
    from epochal.report.reading import RunLike

KINDS = ("accuracy", "positive", "real")


@app.command()
def analyse(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|FILE...",
            help="Runs; or CSV, JSONL, Parquet, TensorBoard, W&B or Lightning logs, or folders of them.",
        ),
    ],
    step: Annotated[str, typer.Option(metavar="COLUMN", help="The step; by default guessed.")] = "",
    run: Annotated[
        str, typer.Option("--run", metavar="COLUMN", help="What tells runs apart, such as seed; guessed.")
    ] = "",
    value: Annotated[
        str, typer.Option(metavar="COLUMN", help="What changes: a column, or an event of a run; guessed.")
    ] = "",
    align: Annotated[str, typer.Option(metavar="COLUMN", help="What may change with it.")] = "",
    margin: Annotated[
        str, typer.Option(metavar="STEPS|2rec", help="What counts as the same time; rec: record intervals.")
    ] = "2rec",
    kind: Annotated[str, typer.Option(metavar="KIND", help="Of the value: accuracy, positive or real.")] = "",
    align_kind: Annotated[str, typer.Option(metavar="KIND", help="Of what is aligned.")] = "",
    trials: Annotated[float | None, typer.Option(metavar="N", help="Samples behind each accuracy.")] = None,
    min_height: Annotated[
        float | None, typer.Option(metavar="H", help="Smaller changes of the value are no events.")
    ] = None,
    percent: Annotated[
        bool | None, typer.Option("--percent/--fraction", help="Unit of accuracies; by default seen.")
    ] = None,
    arm: Annotated[
        str, typer.Option(metavar="A,B", help="Columns or fields that tell unlike runs apart.")
    ] = "",
    step_offset: Annotated[
        int | None, typer.Option(metavar="N", help="Added to steps; Lightning counts from 0, so 1 there.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="A page, tables and figures.")
    ] = None,
    runs: RunsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find when runs or logs changed, and what changed with them. What it finds is exploratory."""
    from epochal.report import analysing

    for given, option in ((kind, "kind"), (align_kind, "align-kind")):
        if given and given not in KINDS:
            raise UserError(f"--{option} {given} is not one of {', '.join(KINDS)}")
    if trials is not None and not trials >= 1:
        raise UserError(f"--trials {trials:g} must be the number of samples behind each accuracy, at least 1")
    arms = tuple(word.strip() for word in arm.split(",") if word.strip())
    as_is = tuple(n for n, k in ((value, kind), (align, align_kind)) if k in ("positive", "real") and n)
    columns = {"step": step, "run": run, "arms": arms, "percent": percent, "offset": step_offset}
    with waiting() as tell:
        population, asked, taken, unit = _population(names, value, align, columns, as_is, runs)
        question = analysing.Question(
            value=asked,
            align=align,
            kind=kind or None,  # type: ignore[arg-type]
            align_kind=align_kind or None,  # type: ignore[arg-type]
            margin=margin,
            trials=trials,
            min_height=min_height,
            arms=arms,
            unit=unit,
        )
        analysis = analysing.analysed(population, question, taken, tell)
        written = analysing.write_analysis(analysis, output, tell) if output else []
        kept = _kept(population, analysis, tell)
    if as_json:
        typer.echo(json.dumps(analysing.as_json(analysis), indent=1, default=str, allow_nan=False))
        return
    for line in analysis.taken:
        typer.echo(line)
    typer.echo()
    print_table(analysing.event_table(analysis), as_json=False)
    if analysis.findings or analysis.refused:
        typer.echo()
    for finding in analysis.shown:
        typer.echo(finding.sentence)
    for line in analysis.refused:
        typer.echo(line)
    if places := [*map(str, written), *kept]:
        typer.echo("\n" + "\n".join(places))


def _kept(run: "RunLike", analysis: "Analysis", tell: "Waiting") -> list[str]:
    """Keeps what was asked of one finished run with it, and shows it on its page; says where."""
    from epochal.report.page import write_report
    from epochal.report.run_findings import keep_asked
    from epochal.store.run import Run

    if not (isinstance(run, Run) and run.is_done and (analysis.findings or analysis.refused)):
        return []
    tell("the page of the run", 0, 0)
    given = asdict(analysis.question)
    question = {name: list(v) if isinstance(v, tuple) else v for name, v in given.items()}
    words = [
        word
        for name, option in (("value", "value"), ("align", "align"), ("kind", "kind"),
                             ("align_kind", "align-kind"), ("margin", "margin"), ("trials", "trials"),
                             ("min_height", "min-height"), ("arms", "arm"))
        if (v := given[name]) not in (None, "", (), "2rec")
        for word in (f"--{option}", ",".join(v) if isinstance(v, tuple) else f"{v}")
    ]  # fmt: skip
    command = shlex.join(["epochal", "analyse", run.name, *words])
    keep_asked(run, question, command, analysis.findings, analysis.refused)
    return [f"kept    {run.paths.findings}", f"report  {write_report(run, with_files=False)}"]


def _population(
    names: Sequence[str],
    value: str,
    align: str,
    columns: dict[str, Any],
    as_is: tuple[str, ...],
    runs: Path | None,
) -> "tuple[RunLike, str, list[str], str]":
    """Runs together, or logs as a population; the event asked for; what was taken; the unit of steps."""
    from epochal.api import runs_folder
    from epochal.report.several import together
    from epochal.store.catalog import find_run
    from epochal.store.foreign.columns import Reading
    from epochal.store.foreign.population import population
    from epochal.store.foreign.sources import read_logs
    from epochal.store.run import load

    is_log = [_is_log(Path(name)) for name in names]
    if any(is_log) and not all(is_log):
        raise UserError(
            f"{names[is_log.index(True)]} is a log and {names[is_log.index(False)]} a run: import the "
            "log, or analyse them apart"
        )
    if any(is_log):
        logs = [log for name in dict.fromkeys(names) for log in read_logs(Path(name))]
        reading = Reading(value=value, others=(align,) if align else (), as_is=as_is, **columns)
        found, asked = population(logs, reading)
        return found, asked, list(found.taken), found.unit
    if strange := [option for option in ("step", "run") if columns[option]]:
        raise UserError(f"--{strange[0]} names a column of a log; a run of epochal knows its own")
    paths = dict.fromkeys(find_run(name, runs_folder(runs)).resolve() for name in names)
    found_run = together([load(path) for path in paths])
    asked = _asked(found_run, value)
    if align:
        _asked(found_run, align, "align")
    taken = [] if value else [f"value = {asked}"]
    return found_run, asked, taken, "steps"


def _is_log(path: Path) -> bool:
    """Whether a word is a file, or a folder that is no run."""
    return (
        path.is_file()
        or (path.is_dir() and not (path / "spec.json").exists())
        or bool(
            path.suffix.lower()
            in (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".wandb", ".txt", ".json")
        )
    )


def _asked(run: "RunLike", given: str, option: str = "value") -> str:
    """An event or a column of a run; by itself the first event, else validation accuracy."""
    from epochal.core.values.nearest import did_you_mean
    from epochal.report.event_times import event_names, usual_event
    from epochal.report.reading import measured_columns

    known = [*event_names(run), *measured_columns(run)]
    if given:
        if given not in known:
            raise UserError(
                f"--{option} {given}: {run.name} has no such event or column{did_you_mean(given, known)}"
            )
        return given
    if event_names(run):
        return usual_event(run)
    for name in ("val_accuracy", "train_accuracy", *measured_columns(run)):
        if name in known:
            return name
    raise UserError(f"{run.name} has no values to look at")
