"""The command that chooses how to sample the local learning coefficient of a run: calibrate."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from epochal.cli.app import RunArgument, RunsOption, app
from epochal.cli.llc_options import MemberOption, StepOption, llc_options


@app.command()
def calibrate(
    run: RunArgument,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[OPTION=VALUE]...", help="Of the probe llc; what is given is not chosen."),
    ] = None,
    member: MemberOption = None,
    step: StepOption = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Share of the estimate that long steps may add.")
    ] = 0.03,
    runs: RunsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print calibration.json.")] = False,
) -> None:
    """Choose how to sample a run's local learning coefficient."""
    from epochal.api import load, progress_bar, runs_folder
    from epochal.core.values.errors import UserError
    from epochal.launch.calibrate import calibrate_run
    from epochal.report import figures
    from epochal.report.files import save_figure
    from epochal.store.catalog import find_run

    found = load(find_run(run, runs_folder(runs)))
    with progress_bar("calibrating") as advance:
        content = calibrate_run(
            found, llc_options(words), member=member, step=step, tolerance=tolerance, progress=advance
        )
    drawn = save_figure(figures.find("calibration").of(found, {}), found.paths.run / "figures")
    if as_json:
        typer.echo(json.dumps(content, indent=2))
    else:
        _say(content, found.paths.run / "calibration.json", drawn[-1].with_suffix(".svg"))
    if content["failure"]:
        raise UserError(f"{content['failure']}; epochal probe {found.name} llc does not use these settings")
    if not as_json:
        typer.echo(f"epochal probe {found.name} llc uses it")


def _say(content: dict[str, Any], path: Path, drawn: Path) -> None:
    for reason in content["reasons"]:
        typer.echo(f"- {reason}")
    chosen = ", ".join(
        f"{name}={value:.5g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in content["settings"].items()
    )
    typer.echo(f"chosen   {chosen}")
    typer.echo(f"found    {content['estimate']['chains_say']}")
    typer.echo(f"kept in  {path}")
    typer.echo(f"figure   {drawn}")
