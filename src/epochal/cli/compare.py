"""Commands that compare: diff of two runs, verify of a run with what this machine makes of it."""

import json
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epochal.cli.app import RunArgument, RunsOption, app, print_table

if TYPE_CHECKING:
    from epochal.launch.verify import Verdict
    from epochal.store.difference import Comparison, Parting

DIFFERENT = 1
"""Exit code where a comparison found a difference; 0 is none, 2 that nothing could be compared."""


@app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A run: its path, or a unique part of its name.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    runs: RunsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """How two runs differ: in fields, code, machine, data, records. Exit code 0: in nothing, 1: they do."""
    from epochal.api import runs_folder
    from epochal.store.catalog import find_run
    from epochal.store.difference import compare
    from epochal.store.run import load

    first, second = (load(find_run(name, runs_folder(runs))) for name in (a, b))
    found = compare(first, second)
    if as_json:
        names = {"a": first.name, "b": second.name, "identical": found.is_identical}
        typer.echo(json.dumps(_jsonable(names | asdict(found)), default=str, indent=1, allow_nan=False))
    else:
        typer.echo(f"A  {first.name}\nB  {second.name}")
        _print(found)
    raise typer.Exit(0 if found.is_identical else DIFFERENT)


@app.command()
def verify(
    name: RunArgument,
    pack: Annotated[int, typer.Option("--pack", min=0, help="Which pack; its states are its own.")] = 0,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Updates to retrain at most; 1000 by default.")
    ] = None,
    runs: RunsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Retrain a stretch of a run and compare every bit. Exit code 0: equal, 1: different, 2: cannot."""
    from rich.console import Console
    from rich.progress import Progress

    from epochal.api import runs_folder
    from epochal.experiments import catalog
    from epochal.launch import verify as verification
    from epochal.store.catalog import find_run
    from epochal.store.run import load

    run = load(find_run(name, runs_folder(runs)))
    catalog.find(run.spec["experiment"])  # says why an imported run cannot be retrained
    stretch = verification.stretch_of(run, pack, steps)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"retraining from step {stretch.start} to {stretch.end}", total=None)
        verdict = verification.verify(
            run, stretch, lambda done, of: progress.update(bar, completed=done, total=of)
        )
    if as_json:
        found = {"run": run.name, "equal": verdict.is_equal} | asdict(verdict)
        typer.echo(json.dumps(_jsonable(found), default=str, indent=1, allow_nan=False))
    else:
        _print_verdict(verdict, run.name)
    raise typer.Exit(0 if verdict.is_equal else DIFFERENT)


def _print_verdict(verdict: "Verdict", name: str) -> None:
    stretch = verdict.stretch
    typer.echo(
        f"{'equal' if verdict.is_equal else 'different'}: pack {stretch.pack} of {name}, retrained from step "
        f"{stretch.start} to {stretch.end}"
    )
    for what, steps in (("parameters", stretch.snapshots), ("parameters and optimiser", stretch.states)):
        if steps:
            typer.echo(f"compared {what} at step {', '.join(map(str, steps))}")
    if not (stretch.snapshots or stretch.states):
        typer.echo("no parameters are stored in this stretch: only records were compared; raise --steps")
    typer.echo(f"compared {verdict.records} records of {verdict.members} members")
    if not verdict.is_equal:
        rows = [asdict(found) for found in verdict.mismatches]
        print_table([{key: _short(value) for key, value in row.items()} for row in rows], as_json=False)
        typer.echo(
            "made under other circumstances:"
            if verdict.circumstances
            else "hardware, versions, threads and code are those of the run: its files may be damaged"
        )
    for circumstance, then, here in verdict.circumstances:
        typer.echo(f"  {circumstance}: then {_short(then)}, here {_short(here)}")


def _print(found: "Comparison") -> None:
    if found.is_identical:
        typer.echo(
            f"identical: the same fields, code, versions, hardware and data; {found.records} records of "
            f"{found.common} members are equal bit for bit"
        )
        return
    if found.aspects:
        print_table(
            [
                {"": row.kind, "what": row.name, "A": _short(row.a), "B": _short(row.b)}
                for row in found.aspects
            ],
            as_json=False,
        )
    else:
        typer.echo("the same fields, code, versions, hardware and data")
    only = f"{found.only_a} members only in A, {found.only_b} only in B, {found.common} in both"
    if not found.common:
        typer.echo(f"{only}: no member to compare")
        return
    typer.echo(only if found.only_a or found.only_b else f"the same {found.common} members")
    for side, columns in (("A", found.columns_only_a), ("B", found.columns_only_b)):
        if columns:
            typer.echo(f"columns only in {side}: {', '.join(columns)}")
    if found.records_only_a or found.records_only_b:
        typer.echo(
            f"of these members, {found.records_only_a} records only in A, {found.records_only_b} only in B"
        )
    if not found.partings:
        typer.echo(f"all {found.records} records that both have are equal bit for bit")
        return
    by_column = sorted(found.partings, key=lambda parting: parting.column)
    groups = [list(group) for _, group in groupby(by_column, key=lambda parting: parting.column)]
    rows = [_column_row(group, found.common) for group in groups]
    print_table(sorted(rows, key=lambda row: int(row["first_step"])), as_json=False)


def _column_row(group: "list[Parting]", common: int) -> dict[str, Any]:
    """One column: its earliest difference among all members."""
    first = min(group, key=lambda parting: parting.step)
    far = [parting.far_step for parting in group if parting.far_step is not None]
    return {
        "column": first.column,
        "members": f"{len(group)} of {common}",
        "first_step": first.step,
        "member_A": first.member_a,
        "member_B": first.member_b,
        "A": _short(first.a),
        "B": _short(first.b),
        "relative": "" if first.relative is None else f"{first.relative:.1e}",
        "beyond_1e-6_at": min(far) if far else "never",
    }


def _short(value: object) -> str:
    """A value in one cell; None was not there."""
    if isinstance(value, float):
        return repr(value)
    text = "–" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _jsonable(value: Any) -> Any:
    """What is not finite as text: JSON has no number for it."""
    if isinstance(value, dict):
        return {name: _jsonable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return str(value) if isinstance(value, float) and not abs(value) < float("inf") else value
