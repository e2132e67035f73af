"""The command that measures stored snapshots: probe."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from epochal.cli.app import JsonOption, RunArgument, RunsOption, app, print_table
from epochal.cli.llc_rows import with_verdicts
from epochal.core.values.errors import UserError

MOST_PLACES = 16
"""Of an array, whose names are printed."""

MOST_ROWS = 40
"""A longer table is shown by its last step; the file and --json have all of it."""


@app.command()
def probe(
    run: RunArgument,
    words: Annotated[
        list[str],
        typer.Argument(metavar="NAME... [OPTION=VALUE]...", help="Probes, and options as NAME.OPTION=VALUE."),
    ],
    members: Annotated[str, typer.Option("--members", metavar="0:5", help="Which; default all.")] = "",
    steps: Annotated[
        str, typer.Option("--steps", metavar="100,200", help="Which snapshots; default all.")
    ] = "",
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the snapshots of a run. What was measured already is not measured again."""
    from epochal.api import load, progress_bar, runs_folder
    from epochal.launch.measuring import measure_snapshots, measurement
    from epochal.store.catalog import find_run

    names = [word for word in words if "=" not in word]
    options = _options(names, [word for word in words if "=" in word])
    chosen = {"members": numbers_of("members", members), "steps": numbers_of("steps", steps)}
    found = load(find_run(run, runs_folder(runs)))
    wanted = [measurement(found, name, options[name], f"{name}.") for name in names]
    rows: list[dict[str, Any]] = []
    for each in wanted:
        with progress_bar(each.probe.name) as advance:
            table = measure_snapshots(found, each, **chosen, progress=advance)
        if as_json:
            rows += [{"probe": each.probe.name, **_json(row)} for row in table.to_dicts()]
        if not as_json:
            last = table["step"].max()
            shown = table if len(table) <= MOST_ROWS else table.filter(table["step"] == last)
            said = with_verdicts(shown.to_dicts())
            print_table([{key: _short(value) for key, value in row.items()} for row in said], False)
            named: dict[str, list[str]] = {}
            for column, places in each.table.labels.items():
                named.setdefault(_places(places), []).append(column)
            for shown_places, columns in named.items():
                typer.echo(f"{', '.join(columns)}  {shown_places}")
            if each.calibrated:
                kept = ", ".join(f"{name}={_short(value)}" for name, value in each.calibrated.items())
                typer.echo(f"from calibration.json  {kept}")
            typer.echo(f"table   {each.table.path} ({len(table)} rows)")
    if as_json:
        print_table(rows, True)


def _options(names: Sequence[str], words: Sequence[str]) -> dict[str, dict[str, object]]:
    """Per probe, its options; ``OPTION=VALUE`` alone where there is one probe.

    Raises:
        UserError: no probe, or an option of none of them.
    """
    if not names:
        raise UserError("name at least one probe, for example: epochal probe RUN weight_norm")
    if len(set(names)) < len(names):
        raise UserError(f"probes are named twice: {' '.join(names)}; a label tells them apart: NAME@LABEL")
    short = {name.rpartition(":")[2]: name for name in names}
    options: dict[str, dict[str, object]] = {name: {} for name in names}
    for word in words:
        setting, _, value = word.partition("=")
        owner, dot, option = setting.rpartition(".")
        if not dot and len(names) > 1:
            raise UserError(f"{word} could be of {' or '.join(short)}: write {next(iter(short))}.{word}")
        if dot and owner not in short and owner not in names:
            raise UserError(
                f"{word} is an option of {owner}, which is not measured; named are {', '.join(short)}"
            )
        name = short.get(owner, owner) if dot else names[0]
        if option in options[name]:
            raise UserError(f"{setting} is set twice; give it once")
        options[name][option] = value
    return options


def numbers_of(name: str, text: str) -> list[int] | None:
    """``0:5`` or ``100,200`` as whole numbers; None where nothing is given."""
    from epochal.core.values.axes import expand

    if not text:
        return None
    try:
        return [int(value) for value in expand(text, numeric=True)]
    except ValueError as error:
        raise UserError(f"--{name} {text} is not a list of whole numbers such as 0:5 or 100,200") from error


def _places(labels: Sequence[str]) -> str:
    """What the first places of an array stand for; the file beside the table has all."""
    named = [f"{place} {label}" for place, label in enumerate(labels[:MOST_PLACES])]
    return ", ".join([*named, *(["..."] if len(labels) > MOST_PLACES else [])])


def _json(value: Any) -> Any:
    """As JSON has it: what is not finite as text."""
    if isinstance(value, dict):
        return {key: _json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_json(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _short(value: object) -> object:
    """A number with six digits; the first four of an array."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return " ".join(f"{item:.4g}" for item in value[:4]) + (" ..." if len(value) > 4 else "")
    return value
