"""Studies on the command line: list them, conduct one, say what one would cost."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epochal.cli.app import (
    INTERRUPTED,
    JsonOption,
    RunsOption,
    StudiesOption,
    app,
    end,
    print_table,
    settings_of,
)
from epochal.cli.waiting import waiting
from epochal.core.values.errors import UserError

if TYPE_CHECKING:
    from epochal.launch.studies.conduct import Conducted
    from epochal.launch.studies.plan import StudyPlan


@app.command()
def study(
    subject: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A study, or ./FILE.py:NAME; without it, those there are."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FIELD=VALUE]...", help="Fields of all arms, ROLE.FIELD of one, margins.NAME."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The quick form; its findings are exploratory.")
    ] = False,
    look: Annotated[
        int | None, typer.Option("--look", min=1, help="Go as far as this declared look, and analyse there.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it costs; train nothing.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Conduct it afresh, with fresh runs.")] = False,
    runs: RunsOption = None,
    studies: StudiesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a question by a design declared before the data."""
    if subject is None:
        _list(runs, studies, as_json)
        return
    from epochal import api
    from epochal.launch.studies.resolve import resolve
    from epochal.studies import find

    settings, preset = settings_of(overrides or [])
    if preset is not None:
        raise UserError(
            f"preset={preset}: an arm keeps its preset; override its fields, or write a study of your own"
        )
    words = [subject, *(overrides or []), *(["--quick"] if quick else [])]
    folder = api.runs_folder(runs)
    made = resolve(find(subject), is_quick=quick, overrides=settings, words=words, runs=folder)
    for line in made.left_out:
        typer.echo(f"left out    {line}", err=True)
    if plan:
        _show_plan(made, as_json)
        return
    from rich.console import Console

    from epochal.launch.interrupts import Interrupted, interruptible
    from epochal.launch.watching.live import LiveDisplay

    place = api.studies_folder(studies, folder)
    given = {"--look": look, "--runs": runs, "--studies": studies}
    rest = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    command = shlex.join(["epochal", "study", *words, *(["--again"] if again else []), *rest])
    try:
        with interruptible():
            conducted = api.conduct(
                made, folder, place, LiveDisplay(Console(stderr=True)), look=look, again=again
            )
    except Interrupted as error:
        at = f"step {error.step} of {error.max_steps} of the run {error.path}"
        end(f"the study stopped at {at}, stored; to resume, give {command}", INTERRUPTED)
    except KeyboardInterrupt:
        end(
            f"the study stopped outside training; whatever was trained is stored; to resume, give {command}",
            INTERRUPTED,
        )
    _show(conducted, as_json)


def _list(runs: Path | None, studies: Path | None, as_json: bool) -> None:
    """Those that come with epochal; for people also those that were conducted."""
    from epochal import api, study_listings
    from epochal.studies import find, names

    found = [find(name) for name in names()]
    rows = [
        {"study": one.name, "question": one.study.question, "arms": ", ".join(one.study.arms)}
        for one in found
    ]
    print_table(rows, as_json)
    folder = api.studies_folder(studies, api.runs_folder(runs))
    if not as_json and (made := study_listings.studies(folder)):
        typer.echo(f"\nconducted, in {folder}:")
        print_table(made, as_json)


def _show(conducted: "Conducted", as_json: bool) -> None:
    if as_json:
        rows: list[dict[str, Any]] = [f.as_row() | {"sentence": f.sentence} for f in conducted.findings]
        print_table(rows, True)
        return
    from epochal.study_listings import finding_row

    document = conducted.plan.document
    typer.echo(f"question    {document['question']}")
    typer.echo(f"prediction  {document['prediction']}")
    if conducted.plan.num_looks > 1:
        typer.echo(f"look        {conducted.look} of {conducted.plan.num_looks}")
    for reason in conducted.exploratory:
        typer.echo(f"exploratory {reason}")
    for line in conducted.plan.left_out:
        typer.echo(f"left out    {line}")
    typer.echo("")
    for finding in conducted.findings:
        typer.echo(finding.sentence)
    typer.echo("")
    print_table([finding_row(finding) for finding in conducted.findings], False)
    for table in conducted.tables:
        typer.echo(f"\n{table.title}:")
        print_table(table.as_records(), False)
        if table.note:
            typer.echo(table.note)
    if conducted.look < conducted.plan.num_looks and not conducted.is_decided:
        typer.echo(f"next    the same without --look goes on to look {conducted.look + 1}")
    typer.echo(f"study   {conducted.path}")
    typer.echo(f"report  {conducted.path / 'report.html'}")


def _show_plan(made: "StudyPlan", as_json: bool) -> None:
    from epochal import listings
    from epochal.launch.plan import plan

    plans = []
    with waiting() as tell:
        for number, batch in enumerate(made.batches):
            tell(f"timing {batch.role}", number, len(made.batches))
            plans.append((batch, plan(batch.experiment, batch.request)))
    rows = [
        {"arm": batch.role, "look": batch.look, **row}
        for batch, planned in plans
        for row in listings.packs(planned)
    ]
    print_table(rows, as_json)
    if as_json:
        return
    looks = made.document["looks"]
    for number, (count, level) in enumerate(
        zip(looks["runs"], looks["levels"], strict=True) if looks else (), 1
    ):
        typer.echo(f"look {number}: {count} runs per arm, p of at most {level:.2g} supports")
    members = len(made.member_ids)
    minutes = sum(planned.seconds for _, planned in plans) / 60
    typer.echo(
        f"{members} networks in {len(plans)} runs: about {minutes:.1f} minutes; plan {made.plan_hash}; "
        "nothing was trained"
    )
