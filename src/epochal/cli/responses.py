"""The commands that ask what single examples do to a trained network: influences, susceptibilities."""

from typing import Annotated, Any

import typer

from epochal.cli.app import JsonOption, RunArgument, RunsOption, app, print_table
from epochal.cli.llc_options import MemberOption, StepOption, llc_options
from epochal.cli.measure import numbers_of

SHOWN = 3
"""Of the largest and of the smallest, per row of the table."""

WordsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[OPTION=VALUE]...", help="Of the probe llc; else of calibration.json."),
]


@app.command()
def influences(
    run: RunArgument,
    words: WordsArgument = None,
    of: Annotated[
        str, typer.Option("--of", metavar="0:5", help="Training examples; default the first five.")
    ] = "",
    on: Annotated[str, typer.Option("--on", metavar="0:200", help="Which; default the first 200.")] = "",
    covariance: Annotated[
        bool, typer.Option("--covariance", help="Covariances of losses instead of correlations.")
    ] = False,
    member: MemberOption = None,
    step: StepOption = None,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Which training examples help which; see susceptibilities."""
    from epochal.api import load, progress_bar, runs_folder
    from epochal.launch.responses import influences_of_run
    from epochal.store.catalog import find_run

    found = load(find_run(run, runs_folder(runs)))
    chosen = (numbers_of("of", of), numbers_of("on", on))
    with progress_bar("influences") as advance:
        seen = influences_of_run(
            found, llc_options(words), of=chosen[0], on=chosen[1], is_correlation=not covariance,
            member=member, step=step, progress=advance,
        )  # fmt: skip
    _say(seen, "of", "on", as_json)


# Hidden: its name would make the column of names so wide that other commands are told in half a line.
@app.command(hidden=True)
def susceptibilities(
    run: RunArgument,
    words: WordsArgument = None,
    examples: Annotated[
        str, typer.Option("--examples", metavar="0:200", help="Of training; default the first 200.")
    ] = "",
    member: MemberOption = None,
    step: StepOption = None,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """How the loss that each block can lose responds to more weight on an example."""
    from epochal.api import load, progress_bar, runs_folder
    from epochal.launch.responses import susceptibilities_of_run
    from epochal.store.catalog import find_run

    found = load(find_run(run, runs_folder(runs)))
    chosen = numbers_of("examples", examples)
    with progress_bar("susceptibilities") as advance:
        seen = susceptibilities_of_run(
            found, llc_options(words), examples=chosen, member=member, step=step, progress=advance
        )
    _say(seen, "block", "example", as_json)


def _say(seen: Any, row: str, column: str, as_json: bool) -> None:
    """The largest and the smallest of each row, or the whole table as JSON."""
    if as_json:
        print_table(seen.table.to_dicts(), True)
        return
    lines = []
    for (name,), part in seen.table.group_by(row, maintain_order=True):
        others = part.filter(part[column] != name) if row == "of" else part
        ordered = others.sort("value", descending=True).to_dicts()
        few = min(SHOWN, len(ordered) // 2)
        ends = {"largest": ordered[:few], "smallest": ordered[len(ordered) - few :][::-1]}
        told = {
            end: ", ".join(
                f"{one[column]}: {one['value']:.3g} +- {one['standard_error']:.1g}" for one in some
            )
            for end, some in ends.items()
        }
        lines.append({row: name, **told})
    print_table(lines, False)
    typer.echo(f"\nsampled  {seen.label}")
    if not seen.is_settled:
        typer.echo("chains had not settled: these are no estimates")
        for doubt in seen.doubts:
            typer.echo(f"- {doubt}")
    typer.echo(f"kept in  {seen.path}, how it was made in {seen.path.with_suffix('.json').name}")
