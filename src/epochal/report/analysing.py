"""The analysis of a population that somebody found: events, whether two belong together, figures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from epochal.core.values.errors import UserError
from epochal.core.values.figure import FigureSpec
from epochal.core.values.finding import Finding
from epochal.report import figures
from epochal.report.event_times import (
    Kind,
    Timed,
    arm_fields,
    as_timed,
    found_in,
    kind_of,
    label_of,
)
from epochal.report.files import Format, figure_svg, save_figure
from epochal.report.pair import findings, margin_steps
from epochal.report.reading import RunLike, measured_columns
from epochal.report.several import Together
from epochal.report.tables import event_shown
from epochal.report.thinning import thinned
from epochal.store.atomic import write_file

FORMATS: tuple[Format, ...] = ("svg", "pdf", "png")


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked: the event (stored, or a column's transition), another one, how they are looked at."""

    value: str
    align: str = ""
    kind: Kind | None = None
    align_kind: Kind | None = None
    margin: str = "2rec"
    trials: float | None = None
    min_height: float | None = None
    arms: tuple[str, ...] = ()
    unit: str = "steps"


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """``taken`` says what was taken for what, ``refused`` what could not be answered and why."""

    run: RunLike
    question: Question
    taken: tuple[str, ...]
    timed: tuple[Timed, ...]
    findings: tuple[Finding, ...]
    refused: tuple[str, ...]
    margin: float | None


def analysed(run: RunLike, question: Question, taken: Sequence[str] = ()) -> Analysis:
    """Events of every member, and with ``align`` the two findings; always exploratory.

    Raises:
        UserError: no such event or column, values that do not fit a kind, a margin that is none.
    """
    said = list(taken)
    asked = [(question.value, question.kind)] + (
        [(question.align, question.align_kind)] if question.align else []
    )
    rows: list[dict[str, Any]] = []
    times = []
    for name, kind in asked:
        found = run.events.filter(pl.col("name") == name).to_dicts() if len(run.events) else []
        if not found:
            if name not in measured_columns(run):
                raise UserError(f"{run.name} has no values of {name} to look at")
            chosen = kind or kind_of(run, name)
            said += [] if kind else [f"{name} is taken as kind {chosen}"]
            trials = question.trials if chosen == "accuracy" else None
            height = question.min_height if name == question.value else None
            found = found_in(run, name, chosen, trials=trials, min_height=height)
        rows += found
        times.append(as_timed(run, name, found))
    population = with_events(run, rows)
    arms = arm_fields(run, question.arms)
    made: list[Finding] = []
    refused: list[str] = []
    margin = None
    if question.align:
        margin = margin_steps(question.margin, times[0], times[1])
        made, refused = findings(
            run, times[0], times[1], margin=question.margin, arms=arms, unit=question.unit
        )
        if question.margin.endswith(("rec", "record", "records")):
            said.append(f"margin {question.margin} = {margin:g} {question.unit}")
        if not arms and len(run.members) > 1:
            said.append("all runs count as one arm; --arm FIELD tells unlike ones apart")
    return Analysis(
        run=population,
        question=question,
        taken=tuple(said),
        timed=tuple(times),
        findings=tuple(made),
        refused=tuple(refused),
        margin=margin,
    )


def with_events(run: RunLike, rows: Sequence[dict[str, Any]]) -> RunLike:
    """The same population with these events instead of its own."""
    return Together(
        path=run.path,
        name=run.name,
        metrics=run.metrics,
        members=run.members,
        events=pl.DataFrame(rows, infer_schema_length=None),
        spec=run.spec,
        environment=run.environment,
        schema=run.schema,
        is_done=run.is_done,
    )


def event_table(analysis: Analysis) -> list[dict[str, Any]]:
    """One row per run and event: step, interval, or what is known instead and why."""
    rows = []
    for event in analysis.run.events.iter_rows(named=True):
        rows.append(
            {
                "run": label_of(analysis.run, event["member"]),
                "event": event["name"],
                "when": event_shown(event).text,
                "censored": event["censored"],
                "height": None if event["height"] is None else float(f"{event['height']:.3g}"),
                "reason": event["reason"] or "",
            }
        )
    return rows


def as_json(analysis: Analysis) -> dict[str, Any]:
    """Everything, with every digit."""
    events = [
        {"run": label_of(analysis.run, row["member"]), **row}
        for row in analysis.run.events.iter_rows(named=True)
    ]
    return {
        "taken": list(analysis.taken),
        "margin": analysis.margin,
        "events": events,
        "findings": [{**found.as_row(), "sentence": found.sentence} for found in analysis.findings],
        "refused": list(analysis.refused),
    }


def drawn(analysis: Analysis) -> tuple[list[FigureSpec], list[str]]:
    """The figures of an analysis, and a line for each that cannot be drawn."""
    question = analysis.question
    arms = ",".join(question.arms)
    wanted: list[tuple[str, dict[str, str]]] = [("aligned", {"event": question.value})]
    if question.align:
        wanted[0][1]["columns"] = ",".join(dict.fromkeys(t.column for t in analysis.timed))
        pair = {"a": question.value, "b": question.align, "margin": question.margin}
        wanted += [("lags", pair), ("power", pair | ({"arms": arms} if arms else {}))]
    wanted.append(("survival", {"event": question.value} | ({"arms": arms} if arms else {})))
    specs, problems = [], []
    for name, options in wanted:
        try:
            specs.append(figures.find(name).of(analysis.run, options))
        except UserError as error:
            problems.append(f"no figure {name}: {error}")
    return specs, problems


def write_analysis(analysis: Analysis, folder: Path) -> list[Path]:
    """``analysis.html``, which needs no other file, ``events.csv``, ``findings.json`` and ``figures/``."""
    specs, problems = drawn(analysis)
    small = [thinned(spec) for spec in specs]
    folder.mkdir(parents=True, exist_ok=True)
    for spec, less in zip(specs, small, strict=True):
        save_figure(spec, folder / "figures", FORMATS, drawn=less)
    events = analysis.run.events.join(
        pl.DataFrame(
            {
                "member": analysis.run.members["member"],
                "run": [label_of(analysis.run, m) for m in analysis.run.members["member"]],
            }
        ),
        on="member",
        how="left",
    )
    write_file(folder / "events.csv", events.write_csv().encode())
    content = json.dumps(as_json(analysis), indent=1, default=str, allow_nan=False)
    write_file(folder / "findings.json", content.encode() + b"\n")
    page = Environment(
        loader=PackageLoader("epochal.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    ).get_template("analysis.html.jinja")
    html = page.render(
        name=analysis.run.name,
        taken=analysis.taken,
        findings=[found.sentence for found in analysis.findings],
        refused=[*analysis.refused, *problems],
        rows=event_table(analysis),
        figures=[
            {"title": spec.title, "caption": spec.caption, "svg": Markup(figure_svg(less)), "name": spec.name}
            for spec, less in zip(specs, small, strict=True)
        ],
    )
    write_file(folder / "analysis.html", html.encode())
    return [folder / "analysis.html", folder / "events.csv", folder / "findings.json", folder / "figures"]
