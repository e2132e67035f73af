"""The page of a study: question, prediction and verdicts first, then figures, runs and the frozen plan."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from epochal.core.values.figure import FigureSpec
from epochal.core.values.finding import Finding, stored_row
from epochal.core.values.result_table import ResultTable
from epochal.report.files import save_figure
from epochal.report.finding_rows import finding_row
from epochal.report.page import FORMATS, rendered
from epochal.report.reading import RunLike, as_text
from epochal.report.result_tables import table_shown
from epochal.report.thinning import thinned
from epochal.store.atomic import write_file
from epochal.store.studies import StudyPaths, read_analyses, read_plan

SECOND = ("study", "question", "prediction", "refutation", "data", "member_ids", "batches", "run_id")
"""Parts of a plan that its table leaves out: said elsewhere on the page, or long."""


class PlanLike(Protocol):
    """The part of a plan that its page needs."""

    @property
    def name(self) -> str: ...
    @property
    def document(self) -> Mapping[str, Any]: ...
    @property
    def plan_hash(self) -> str: ...
    @property
    def num_looks(self) -> int: ...
    @property
    def command(self) -> str: ...
    @property
    def left_out(self) -> tuple[str, ...]: ...


class ConductedLike(Protocol):
    """The part of a conducted study that its page needs."""

    @property
    def path(self) -> Path: ...
    @property
    def plan(self) -> PlanLike: ...
    @property
    def look(self) -> int: ...
    @property
    def findings(self) -> tuple[Finding, ...]: ...
    @property
    def figures(self) -> tuple[FigureSpec, ...]: ...
    @property
    def tables(self) -> tuple[ResultTable, ...]: ...
    @property
    def runs(self) -> Mapping[str, Sequence[RunLike]]: ...
    @property
    def exploratory(self) -> tuple[str, ...]: ...


def write_study_report(study: ConductedLike) -> Path:
    """Writes ``report.html`` of a study and its figures in ``figures/`` beside it; returns its path."""
    path = StudyPaths(study.path).report
    drawn = [thinned(spec) for spec in study.figures]
    for spec, small in zip(study.figures, drawn, strict=True):
        save_figure(spec, path.parent / "figures", FORMATS, drawn=small)
    write_file(path, study_page(study, drawn).encode())
    return path


def study_page(study: ConductedLike, specs: Sequence[FigureSpec]) -> str:
    """The HTML of a study with these figures."""
    plan, frozen = study.plan, read_plan(study.path) or {}
    mine = (plan.plan_hash, study.look)
    others = [one for one in read_analyses(study.path) if (one["plan_hash"], one["look"]) != mine]
    return rendered(
        "study.html.jinja",
        specs,
        name=plan.name,
        plan=plan.document,
        exploratory=study.exploratory,
        left_out=plan.left_out,
        look=study.look,
        num_looks=plan.num_looks,
        findings=[finding_row(stored_row(f)) for f in study.findings],
        tables=[table_shown(table) for table in study.tables],
        earlier=[one | {"findings": [finding_row(row) for row in one["findings"]]} for one in others],
        runs=[
            _run(role, run, path)
            for role, runs in study.runs.items()
            for run in runs
            for path in [study.path]
        ],
        frozen_utc=frozen.get("frozen_utc", ""),
        frozen_hash=frozen.get("plan_hash", ""),
        plan_hash=plan.plan_hash,
        streams=", ".join(study.findings[0].varied_streams),
        commit=study.findings[0].commit,
        rows=list(_flat(plan.document)),
        command=plan.command,
    )


def _run(role: str, run: RunLike, study: Path) -> dict[str, Any]:
    counts = Counter(run.members["outcome"].to_list())
    page = run.path / "report.html"
    return {
        "role": role,
        "name": run.name,
        "link": Path(os.path.relpath(page, study)).as_posix() if page.exists() else "",
        "num": len(run.members),
        "outcomes": ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in counts.most_common()),
        "is_bad": counts["diverged"] > 0,
    }


def _flat(value: object, prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings of a plan as dotted names, without what stands elsewhere."""
    if not isinstance(value, Mapping):
        return [(prefix, as_text(value))]
    kept = {key: inner for key, inner in value.items() if key not in SECOND}
    return [row for key, inner in kept.items() for row in _flat(inner, f"{prefix}.{key}" if prefix else key)]
