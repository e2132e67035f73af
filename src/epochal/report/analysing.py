"""The analysis of a population that somebody found: events, whether two belong together, figures."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from epochal.core.values.errors import UserError
from epochal.core.values.figure import FigureSpec
from epochal.core.values.finding import Finding
from epochal.report import figures
from epochal.report.arm_findings import compared
from epochal.report.detecting import Kind, changes_in, found_in, kind_of
from epochal.report.event_times import Timed, arm_fields, as_timed
from epochal.report.files import Format, figure_svg, save_figure
from epochal.report.pair import findings, margin_steps
from epochal.report.reading import RunLike, label_of, measured_columns
from epochal.report.run_findings import adjusted
from epochal.report.several import Together
from epochal.report.tables import event_shown, steps_text
from epochal.report.thinning import thinned
from epochal.store.atomic import write_file

Waiting = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much (0: not known)."""
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
    """``taken`` says what was taken for what, ``refused`` what could not be answered and why.

    ``changes`` holds all that a curve did, as `detect_all` tells it, by member and column, for columns whose
    transition was looked for here. ``findings`` are not corrected; `shown` are, for all of them.
    """

    run: RunLike
    question: Question
    taken: tuple[str, ...]
    timed: tuple[Timed, ...]
    findings: tuple[Finding, ...]
    refused: tuple[str, ...]
    margin: float | None
    changes: Mapping[tuple[int, str], Mapping[str, Any]]

    @property
    def shown(self) -> list[Finding]:
        """The findings, their p adjusted over all of them."""
        return adjusted(list(self.findings))


def analysed(
    run: RunLike,
    question: Question,
    taken: Sequence[str] = (),
    waiting: Waiting = lambda _what, _done, _of: None,
) -> Analysis:
    """Events of every member; with ``align`` whether two belong together, with ``arms`` whether those differ.

    All of it is exploratory. ``waiting`` is told what is being done, how much is, and of how much.

    Raises:
        UserError: no such event or column, values that do not fit a kind, a margin that is none.
    """
    said = list(taken)
    asked = [(question.value, question.kind)] + (
        [(question.align, question.align_kind)] if question.align else []
    )
    rows: list[dict[str, Any]] = []
    times = []
    changes: dict[tuple[int, str], Mapping[str, Any]] = {}
    for name, kind in asked:
        found = run.events.filter(pl.col("name") == name).to_dicts() if len(run.events) else []
        if not found:
            if name not in measured_columns(run):
                raise UserError(f"{run.name} has no values of {name} to look at")
            chosen = kind or kind_of(run, name)
            said += [] if kind else [f"{name} is taken as kind {chosen}"]
            trials = question.trials if chosen == "accuracy" else None
            height = question.min_height if name == question.value else None
            given: dict[str, Any] = {"trials": trials, "min_height": height}
            found = found_in(run, name, chosen, **given, progress=partial(waiting, f"transitions of {name}"))
            whole = changes_in(run, name, chosen, **given, progress=partial(waiting, f"shapes of {name}"))
            changes |= {(member, name): change for member, change in whole.items()}
            said += [line] if (line := several(name, whole)) else []
        rows += found
        times.append(as_timed(run, name, found))
    population = with_events(run, rows)
    arms = arm_fields(run, question.arms)
    made: list[Finding] = []
    refused: list[str] = []
    margin = None
    waiting("findings", 0, 0)
    if question.align:
        margin = margin_steps(question.margin, times[0], times[1])
        made, refused = findings(
            run, times[0], times[1], margin=question.margin, arms=arms, unit=question.unit
        )
        if question.margin.endswith(("rec", "record", "records")):
            said.append(f"margin {question.margin} = {margin:g} {question.unit}")
        if not arms and len(run.members) > 1:
            said.append("all runs count as one arm; --arm FIELD tells unlike ones apart")
    if question.arms:
        differences, lines = compared(run, times[0], arms, unit=question.unit)
        made, refused = [*made, *differences], [*refused, *lines]
    return Analysis(
        run=population,
        question=question,
        taken=tuple(said),
        timed=tuple(times),
        findings=tuple(made),
        refused=tuple(refused),
        margin=margin,
        changes=changes,
    )


def several(name: str, changes: Mapping[int, Mapping[str, Any]]) -> str:
    """How many curves changed more than once, so that one event is not all that happened to them."""
    num = sum(len(change["events"]) > 1 for change in changes.values())
    if not num:
        return ""
    which = "it" if len(changes) == 1 else f"{num} of {len(changes)} runs"
    return (
        f"{name}: {which} changed more than once; its event is the clearest change, the rest stands beside it"
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
                **shape_and_more(analysis, event),
                "reason": event["reason"] or "",
            }
        )
    return rows


def shape_and_more(analysis: Analysis, event: Mapping[str, Any]) -> dict[str, str]:
    """The shape of the curve and its changes besides this one; nothing where no curve was looked at."""
    if not analysis.changes:
        return {}
    change = analysis.changes.get((event["member"], event["name"]))
    if change is None:
        return {"shape": "", "besides": ""}
    others = [e for e in change["events"] if not (event["found"] and same_change(e, event))]
    words = [f"a {'rise' if e['height'] > 0 else 'fall'} at {steps_text(e['step'])}" for e in others]
    if num := len(change["excursions"]):
        words.append(f"{num} spike{'s' * (num > 1)}")
    if math.isfinite(change["period"]):
        words.append(f"a period of {steps_text(change['period'])}")
    return {"shape": change["shape"], "besides": ", ".join(words)}


def same_change(one: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether two estimates are of one change: the same sign, and overlapping intervals."""
    ends = (event["low"], event["high"])
    overlaps = None not in ends and one["low"] <= ends[1] and ends[0] <= one["high"]
    return bool(overlaps and one["height"] * (event["height"] or 0) > 0)


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
        "changes": [
            {"run": label_of(analysis.run, member), "member": member, "name": name, **_finite(change)}
            for (member, name), change in analysis.changes.items()
        ],
        "findings": [{**found.as_row(), "sentence": found.sentence} for found in analysis.shown],
        "refused": list(analysis.refused),
    }


def _finite(value: Any) -> Any:
    """What JSON can hold: NaN and infinities are null."""
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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


def write_analysis(
    analysis: Analysis, folder: Path, waiting: Waiting = lambda _what, _done, _of: None
) -> list[Path]:
    """``analysis.html``, which needs no other file, ``events.csv``, ``findings.json`` and ``figures/``."""
    waiting("figures", 0, 0)
    specs, problems = drawn(analysis)
    small = [thinned(spec) for spec in specs]
    folder.mkdir(parents=True, exist_ok=True)
    for number, (spec, less) in enumerate(zip(specs, small, strict=True)):
        waiting("figures", number, len(specs))
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
        findings=[found.sentence for found in analysis.shown],
        refused=[*analysis.refused, *problems],
        rows=event_table(analysis),
        has_shapes=bool(analysis.changes),
        figures=[
            {"title": spec.title, "caption": spec.caption, "svg": Markup(figure_svg(less)), "name": spec.name}
            for spec, less in zip(specs, small, strict=True)
        ],
    )
    write_file(folder / "analysis.html", html.encode())
    return [folder / "analysis.html", folder / "events.csv", folder / "findings.json", folder / "figures"]
