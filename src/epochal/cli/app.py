"""What every command shares: the application, its options, tables, the way a command ends."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from epochal.core.values.errors import UserError

INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM."""

app = typer.Typer(
    name="epochal",
    help="A laboratory for training dynamics: populations of small networks, and when they changed.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunsOption = Annotated[
    Path | None,
    typer.Option("--runs", metavar="DIR", help="Folder of runs; default $EPOCHAL_RUNS, else ./runs."),
]
StudiesOption = Annotated[
    Path | None,
    typer.Option(
        "--studies",
        metavar="DIR",
        help="Folder of studies; default $EPOCHAL_STUDIES, else studies beside the runs.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the table as JSON, one array of objects.")]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run: its path, or a unique part of its name.")
]
FieldsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FIELD=VALUE]...", help="Any field of the experiment, or preset=NAME."),
]


def settings_of(words: Sequence[str]) -> tuple[dict[str, object], str | None]:
    """``FIELD=VALUE`` words as settings, and the preset among them.

    Raises:
        UserError: a word of another form, or a field that is set twice.
    """
    settings: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if word.lstrip().startswith("zip("):
            name, equals, value = f"zip{len(settings)}", "=", word
        if not equals or not name.strip():
            raise UserError(f"{word!r} is not FIELD=VALUE; write for example seed=0:5")
        if name in settings:
            raise UserError(
                f"{name} is set twice; give all its values at once: {name}={settings[name]},{value}"
            )
        settings[name.strip()] = value
    preset = settings.pop("preset", None)
    return settings, None if preset is None else str(preset)


def print_run(run: Any, as_json: bool) -> None:
    """The members of a run, and where it lies."""
    from epochal import listings

    print_table(listings.members(run), as_json)
    if not as_json:
        for line in listings.said_of(run):
            typer.echo(line)
        typer.echo(f"run     {run.path}")
        if run.paths.report.exists():
            typer.echo(f"report  {run.paths.report}")


def print_table(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    """Rows as a table for people, or as a JSON array."""
    if as_json:
        typer.echo(json.dumps(rows, default=str, indent=1, allow_nan=False))
        return
    if not sys.stdout.isatty():
        _print_plain(rows)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0] if rows else ():
        is_number = all(isinstance(row[name], int | float) for row in rows)
        table.add_column(name.replace("_", " "), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    Console().print(table)


def _print_plain(rows: Sequence[dict[str, Any]]) -> None:
    """One row, one line: a pipe has no margin. Ten times as quick as rich, which a thousand runs need."""
    names = list(rows[0]) if rows else []
    cells = [[" ".join(str("" if v is None else v).split()) for v in row.values()] for row in rows]
    lines = [[name.replace("_", " ") for name in names], *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    is_number = [all(isinstance(row[name], int | float) for row in rows) for name in names]
    for line in lines if rows else []:
        parts = zip(line, widths, is_number, strict=True)
        typer.echo("  ".join(t.rjust(w) if right else t.ljust(w) for t, w, right in parts).rstrip())


def end(text: str, code: int) -> NoReturn:
    """Says why on standard error, and exits. What a terminal would obey instead of showing is written out."""
    for line in filter(str.strip, text.split("\n")):
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        print(f"epochal: {shown}", file=sys.stderr)
    sys.exit(code)
