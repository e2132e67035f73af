"""The page of a run: one HTML file that needs no network and no other file."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from epochal.core.values.figure import Cell, Colour, FigureSpec, Shades
from epochal.core.values.finding import stored_row
from epochal.report.axes import tick_label
from epochal.report.beside_causalgrok import beside_causalgrok
from epochal.report.charts import VIRIDIS, legend_values, palette, panel_json, plain, theme, used_tables
from epochal.report.coefficient_rows import calibration_lines, coefficient_sections
from epochal.report.figures import page_figures
from epochal.report.files import Format, save_figure
from epochal.report.finding_rows import finding_row
from epochal.report.masking import masked_gradients
from epochal.report.reading import RunLike, as_text, is_replicate, member_table, varied_fields
from epochal.report.result_tables import table_shown
from epochal.report.run_findings import RunFindings, findings_of, keep_findings
from epochal.report.tables import Shown, group_rows, member_rows, number, steps_text
from epochal.report.thinning import thinned
from epochal.store.atomic import write_file
from epochal.store.split_sizes import split_sentences

FORMATS: tuple[Format, ...] = ("svg", "pdf", "png")
MAX_OPEN_ROWS = 30
"""Longer tables are folded; on paper all are open."""
EVENT_STEPS = ("step", "low", "high", "onset", "end", "width")
EVENT_NUMBERS = (*EVENT_STEPS, "height", "p")


Tell = Callable[[str, int, int], None]
"""Is told what is being made, how much of it is done, and of how much."""


def write_report(
    run: RunLike,
    path: Path | None = None,
    *,
    with_files: bool = True,
    tell: Tell = lambda _what, _done, _of: None,
) -> Path:
    """Writes the page and, in ``figures/`` beside it, all figures as SVG, PDF, PNG and CSV; returns its path.

    What the page claims is written to ``findings.json`` of the run. Without ``with_files`` the figures' files
    stay as they are. The page is written last, so that its
    links lead somewhere.
    """
    path = path or run.path / "report.html"
    said = keep_findings(run)
    specs = page_figures(run)
    drawn = [thinned(spec) for spec in specs]
    for done, (spec, small) in enumerate(zip(specs, drawn, strict=True) if with_files else ()):
        tell(f"figure {spec.name}", done, len(specs))
        save_figure(spec, path.parent / "figures", FORMATS, drawn=small)
    tell("page", len(specs), len(specs))
    write_file(path, page(run, drawn, said).encode())
    return path


def page(run: RunLike, specs: Sequence[FigureSpec], said: RunFindings | None = None) -> str:
    """The HTML of a run with these figures, which are drawn with all the rows they have."""
    rows, said = member_rows(run), said or findings_of(run)
    return rendered(
        "page.html.jinja",
        specs,
        run=run,
        sentences=_sentences(run, rows),
        is_unfinished=not run.is_done and (run.members["outcome"] == "running").any(),
        warnings=masked_gradients(run),
        coefficients=coefficient_sections(run),
        calibration=calibration_lines(run),
        rows=rows,
        groups=group_rows(run) if len(rows) > 1 else [],
        is_seeds_only=all(map(is_replicate, varied_fields(run))),
        findings=[
            finding_row(stored_row(found)) | {"command": command}
            for found, command in zip(said.findings, said.commands, strict=True)
        ],
        unsaid=said.unsaid,
        tables=[table_shown(table) for table in (beside_causalgrok(run),) if table],
        event_columns=EVENT_NUMBERS,
        events=_events(run),
        members=_members(run),
        fields=_fields(run.spec),
        environment=_flat(run.environment),
        max_open_rows=MAX_OPEN_ROWS,
    )


def rendered(template: str, specs: Sequence[FigureSpec], **values: object) -> str:
    """A page with these figures, drawn by the script of all pages; ``values`` are the template's own."""
    return (
        _environment()
        .get_template(template)
        .render(
            **values,
            figures=[{"spec": s, "legend": _legend(s.colour), "panels": range(len(s.panels))} for s in specs],
            formats=FORMATS,
            payload=_json_in_html({"figures": [_drawing(spec) for spec in specs]}),
            config=_json_in_html(
                theme(
                    ink="var(--ink)", soft="var(--soft)", grid="var(--grid)", paper="transparent", font_px=12
                )
            ),
            vega=Markup(_vega() if specs else ""),
        )
    )


@cache
def _environment() -> Environment:
    """It keeps the templates it has compiled: 0.1 s each, and a study writes many pages."""
    return Environment(
        loader=PackageLoader("epochal.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )


@cache
def _vega() -> str:
    """Vega, Vega-Lite and their embedding as one script, from vl-convert."""
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    assert "</script" not in script.lower()
    return script


def _drawing(spec: FigureSpec) -> dict[str, Any]:
    """A figure for the page's script: the panels of Vega-Lite, and the tables as columns, each once."""
    panels = [panel_json(spec, panel, width="container") for panel in spec.panels]
    tables = {n: {c: _packed(v) for c, v in table.items()} for n, table in used_tables(spec).items()}
    return {"name": spec.name, "panels": panels, "tables": tables}


def _packed(column: Sequence[Cell]) -> list[Cell] | dict[str, list[Cell]]:
    """A column, or ``{"runs": [value, count, ...]}`` where repetitions make that shorter."""
    values = [plain(value) for value in column]
    runs: list[Any] = []
    for value in values:
        if runs and runs[-2] == value:
            runs[-1] += 1
        else:
            runs += [value, 1]
    return {"runs": runs} if len(runs) < len(values) else values


def _json_in_html(value: object) -> Markup:
    """JSON that no text inside can break out of a script element with."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _legend(colour: Colour | Shades | None) -> dict[str, Any] | None:
    if colour is None:
        return None
    if isinstance(colour, Shades):
        ends = [tick_label(float(f"{value:.3g}")) for value in colour.domain]
        return {"title": colour.title, "ends": ends, "stops": ", ".join(VIRIDIS)}
    colours = dict(zip(colour.values, palette(colour), strict=True))
    named = legend_values(colour)
    more = len(colour.values) - len(named)
    return {"title": colour.title, "entries": [(v, colours[v]) for v in named], "num_unnamed": more}


def _sentences(run: RunLike, rows: Sequence[Any]) -> list[str]:
    """What was run, what became of it, and on what."""
    spec, place = run.spec, run.environment
    n = len(run.members)
    fields = varied_fields(run)
    differ = ", ".join(f"{f} ({run.members[f].n_unique()} values)" for f in fields)
    preset = f", preset {spec['preset']}" if spec.get("preset") else ""
    limit = f", trained for up to {number(spec['max_steps'])} steps" if spec.get("max_steps") else ""
    members = f"{n} members that differ in {differ}" if fields else f"{n} member{'s' if n > 1 else ''}"
    said = [f"Experiment {spec.get('experiment', 'unknown')}{preset}: {members}{limit}."]
    groups = group_rows(run)
    looked_for = set(run.events["name"]) if len(run.events) else set()
    for name, verb in (("memorisation", "memorised"), ("generalisation", "generalised")):
        if name in looked_for:
            said.append(f"{sum(getattr(g, f'num_{verb}') for g in groups)} of {n} {verb}.")
    bad = sum(row.is_bad for row in rows)
    if bad:
        said.append(f"{bad} of {n} diverged; they stay in every table and, until then, in every curve.")
    if sizes := _per_pack(place.get("parameters")):
        said.append(f"{_range_text(sizes)} parameters per member.")
    if splits := _per_pack(place.get("splits")):
        said.append(", ".join(f"{_range_text([s[k] for s in splits])} {k}" for k in splits[0]) + " examples.")
    said += split_sentences(place)
    if place.get("wall_seconds"):
        said.append(
            f"Wall time {number(place['wall_seconds'])} s on {place.get('hardware', 'unknown hardware')}."
        )
    return said


def _events(run: RunLike) -> list[dict[str, Any]]:
    labels = dict(member_table(run).select("member", "label").iter_rows())
    rows = []
    for event in run.events.iter_rows(named=True):
        is_step = event["name"] not in ("ratio", "plateau")  # their intervals are of other quantities
        numbers = {
            c: _number(event.get(c), steps_text if c in EVENT_STEPS and is_step else number)
            for c in EVENT_NUMBERS
        }
        words = {
            c: as_text(event.get(c)) if event.get(c) is not None else ""
            for c in ("name", "probe", "censored", "reason")
        }
        rows.append(
            {
                "label": labels[event["member"]],
                "found": "yes" if event["found"] else "no",
                **words,
                "numbers": numbers,
            }
        )
    return rows


def _per_pack(value: Any) -> list[Any]:
    """What the environment says once for all packs, or once for each, as a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _range_text(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return number(low) if low == high else f"{number(low)} to {number(high)}"


def _number(value: float | None, text_of: Callable[[float | None], str]) -> Shown:
    if value is None:
        return Shown(text="–")
    return Shown(text=text_of(value), exact=repr(value), order=value if math.isfinite(value) else math.inf)


def _members(run: RunLike) -> dict[str, Any]:
    return {
        "columns": run.members.columns,
        "rows": [[as_text(v) if v is not None else "" for v in row] for row in run.members.iter_rows()],
    }


def _fields(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name, value, default where the spec tells it; whether the field varies or differs from its default."""
    defaults: Mapping[str, Any] = spec.get("defaults") or {}
    rows = []
    for name, value in spec.get("fields", {}).items():
        axis = value.get("axis") if isinstance(value, Mapping) else None
        text = _axis_text(axis) if isinstance(axis, Sequence) else as_text(value)
        is_default = name not in defaults or defaults[name] == value
        rows.append(
            {
                "name": name,
                "value": text,
                "default": as_text(defaults.get(name)),
                "varies": axis is not None,
                "is_default": is_default,
            }
        )
    return rows


def _axis_text(values: Sequence[Any]) -> str:
    """Several values as the command line takes them: 0:5 for a run of integers, else a,b,c."""
    is_run = len(values) > 2 and all(type(v) is int for v in values)
    if is_run and list(values) == list(range(values[0], values[0] + len(values))):
        return f"{values[0]}:{values[0] + len(values)}"
    return ", ".join(as_text(v) for v in values)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as dotted names."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, as_text(value)))
    return rows
