"""The command that writes one figure of stored runs: figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from epochal.cli.app import JsonOption, RunsOption, app, print_table, settings_of
from epochal.core.values.errors import UserError

FORMATS = ("svg", "pdf", "png")


@app.command()
def figure(
    name: Annotated[str | None, typer.Argument(help="Which figure; without one, all are listed.")] = None,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN... [OPTION=VALUE]...", help="Runs to draw, and options of the figure."),
    ] = None,
    directory: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the files go.")
    ] = Path("figures"),
    width: Annotated[str, typer.Option(help="Of the whole figure, in in, cm, mm or pt: 3.25in.")] = "",
    font: Annotated[str, typer.Option(help="Size of axis titles in points.")] = "",
    formats: Annotated[str, typer.Option(help="Of svg, pdf, png; the CSV is always written.")] = ",".join(
        FORMATS
    ),
    show_list: Annotated[bool, typer.Option("--list", help="List the figures, or one's options.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUES", help="Draw the members with these values: optimizer=adamw."),
    ] = None,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a figure of stored runs for a paper. As SVG, PDF and PNG, with the CSV behind it."""
    from epochal import listings
    from epochal.report import figures

    if name is None or show_list:
        rows = listings.figures() if name is None else listings.figure_options(figures.find(name))
        print_table(rows, as_json)
        return
    found = figures.find(name)
    names = [word for word in words or () if "=" not in word or Path(word).exists()]
    settings, preset = settings_of([word for word in words or () if word not in names])
    if preset is not None:
        settings["preset"] = preset
    _write(found, names, settings, only or (), runs, directory, width, font, formats)


def _write(
    found: Any,
    names: Sequence[str],
    settings: dict[str, object],
    kept: Sequence[str],
    runs: Path | None,
    directory: Path,
    width: str,
    font: str,
    formats: str,
) -> None:
    from epochal.api import runs_folder
    from epochal.report.files import save_figure
    from epochal.report.lengths import inches, points
    from epochal.report.selecting import only
    from epochal.report.several import together
    from epochal.store.catalog import find_run
    from epochal.store.run import load

    width_inches = inches(width) if width else None
    font_points = points(font) if font else None
    chosen = [kind.strip() for kind in formats.split(",") if kind.strip()]
    if strange := [kind for kind in chosen if kind not in FORMATS]:
        raise UserError(f"--formats {strange[0]} is not one of {', '.join(FORMATS)}; write svg,pdf")
    if not names:
        raise UserError(f"figure {found.name} needs a run; `epochal ls` lists them")
    paths = dict.fromkeys(find_run(name, runs_folder(runs)).resolve() for name in names)
    wanted: dict[str, str] = {}
    for word in kept:
        field, equals, values = word.partition("=")
        if not (field and equals and values) or field in wanted:
            problem = "names its field again" if field in wanted else "is no FIELD=VALUES"
            raise UserError(f"--only {word} {problem}; write --only {field or 'weight_decay'}=0.1,1")
        wanted[field] = values
    run = only(together([load(path) for path in paths]), wanted)
    spec = found.of(run, {k: str(v) for k, v in settings.items()})
    for path in save_figure(spec, directory, chosen, width_inches, font_points):  # type: ignore[arg-type]
        typer.echo(path)
    typer.echo(f"\n{spec.caption}")
