"""Conducts a study: freezes its plan, trains look by look, analyses, and marks what came too late."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from epochal.analysis import adjust, alpha_spending, at_look
from epochal.core.values.errors import UserError
from epochal.core.values.figure import FigureSpec
from epochal.core.values.finding import Finding
from epochal.core.values.request import Request
from epochal.core.values.result_table import ResultTable
from epochal.core.values.source import copy_name
from epochal.core.values.study_runs import StudyRuns
from epochal.experiments.catalog import Experiment
from epochal.experiments.own_code import describe, explained
from epochal.launch.environment import source_commit
from epochal.launch.studies.document import differences
from epochal.launch.studies.plan import Batch, StudyPlan
from epochal.launch.studies.runs import gathered
from epochal.store import lock
from epochal.store.atomic import write_file
from epochal.store.run import Run
from epochal.store.studies import (
    StudyPaths,
    members_with_data,
    read_analyses,
    read_plan,
    read_runs,
    study_paths,
    study_place,
    write_analyses,
    write_plan,
    write_runs,
)


class Train(Protocol):
    """Makes or finishes the run of a request at a path in the folder of runs, and opens it."""

    def __call__(self, experiment: Experiment, request: Request, path: Path) -> Run: ...


@dataclass(frozen=True, kw_only=True)
class Conducted:
    """A study as far as it went: its folder, its look, what its analysis made, its runs by role."""

    path: Path
    plan: StudyPlan
    look: int
    findings: tuple[Finding, ...]
    figures: tuple[FigureSpec, ...]
    tables: tuple[ResultTable, ...]
    runs: Mapping[str, tuple[Run, ...]]
    exploratory: tuple[str, ...]
    """Why it is; empty where everything was decided before the data."""

    @property
    def is_decided(self) -> bool:
        return bool(self.findings) and all(finding.verdict != "undecided" for finding in self.findings)


def conduct(
    plan: StudyPlan,
    folder: Path,
    runs: Path,
    train: Train,
    *,
    look: int | None = None,
    again: bool = False,
    place_of: Callable[[Request, bool], Path],
    report: Callable[[Conducted], object] = lambda _: None,
) -> Conducted:
    """Trains and analyses up to ``look``; by default look by look until all is decided.

    What is there is kept: a study that was interrupted goes on. ``place_of`` says where the run of a request
    lies (with True: a fresh one); ``report`` writes the page.

    Raises:
        UserError: no such look, or what stopped a run or the analysis.
        Interrupted: a run was interrupted; the same call resumes.
    """
    if look is not None and not 1 <= look <= plan.num_looks:
        raise UserError(
            f"--look {look}: the study declares {plan.num_looks} look{'s' * (plan.num_looks > 1)}; a "
            "further one is another study"
        )
    path = study_place(folder, plan.directory, again=again)
    with _held(path):
        reasons = _frozen(plan, path, folder, runs)
        named = read_runs(path)
        conducted: Conducted | None = None
        for number in [look] if look is not None else range(1, plan.num_looks + 1):
            stored = [
                (batch, _trained(batch, path, runs, named, train, place_of, again=again))
                for batch in plan.batches
                if batch.look <= number
            ]
            conducted = _analysed(plan, path, number, stored, reasons)
            _record(conducted, folder)
            report(conducted)
            if conducted.is_decided:
                break
        assert conducted is not None
        return conducted


def judged(
    plan: StudyPlan, runs: StudyRuns, look: int
) -> tuple[list[Finding], list[FigureSpec], list[ResultTable]]:
    """What the study's ``analyse`` makes of its runs, its family corrected, its look's level applied.

    Raises:
        UserError: it fails, or gives what is no finding, figure or table, or cites runs of others.
    """
    where = plan.found.path
    looks = plan.study.looks
    spent = None if looks is None else alpha_spending(looks.runs, alpha=looks.alpha, kind=looks.spending)
    if spent is not None:
        runs = replace(runs, alpha=spent.level[look - 1])
    try:
        with explained():
            made: list[object] = list(plan.study.analyse(runs))
    except Exception as error:  # a study's analysis may raise anything, and who wrote it has to know where
        if isinstance(error, UserError):
            raise
        raise UserError(f"analyse in {where} fails: {describe(error)}") from error
    if bad := [one for one in made if not isinstance(one, Finding | FigureSpec | ResultTable)]:
        raise UserError(
            f"analyse in {where} gives a {type(bad[0]).__name__}; give findings, figures and tables"
        )
    findings = [one for one in made if isinstance(one, Finding)]
    if not findings:
        raise UserError(f"analyse in {where} gives no finding; undecided is one too")
    if plan.study.family == "holm" and sum(f.p is not None for f in findings) > 1:
        findings = adjust(findings, alpha=runs.alpha)
    if spent is not None:
        count = spent.runs[look - 1]
        findings = [f if f.p is None else at_look(f, spent, runs=count) for f in findings]
    return (
        [_checked(f, runs, where) for f in findings],
        [one for one in made if isinstance(one, FigureSpec)],
        [one for one in made if isinstance(one, ResultTable)],
    )


def _checked(finding: Finding, runs: StudyRuns, where: Path) -> Finding:
    """With the runs it rests on, by default all, and a word where it counts a seed more than once."""
    seed_of = {run.member_id: run.seed for arm in runs.arms.values() for run in arm.runs}
    ids = finding.member_ids or tuple(seed_of)
    if stray := [member_id for member_id in ids if member_id not in seed_of]:
        raise UserError(f"analyse in {where} cites {stray[0]}, which is no run of this study")
    num_seeds = len({seed_of[member_id] for member_id in ids})
    note = finding.note
    if finding.num_runs > num_seeds:
        said = f"its {finding.num_runs} runs share {num_seeds} seeds, which alone are independent"
        note = f"{note}; {said}" if note else said
    return replace(finding, member_ids=ids, note=note)


def _frozen(plan: StudyPlan, path: Path, folder: Path, runs: Path) -> tuple[str, ...]:
    """Freezes the plan where there are no data yet; says what about the study came after its data."""
    old = read_plan(path)
    has_data = bool(read_analyses(path)) or any((runs / name).exists() for name in read_runs(path).values())
    if old is not None and has_data:
        earlier, changed = old.get("after_data", []), differences(old["plan"], dict(plan.document))
        late = [f"changed after the first data: {', '.join(changed)}"] if changed else []
        return (*plan.departures, *earlier, *late)
    before = _data_before(plan, folder, runs)
    content = {
        "plan_hash": plan.plan_hash,
        "frozen_utc": _now(),
        "commit": source_commit(),
        "departures": list(plan.departures),
        "after_data": before,
        "plan": dict(plan.document),
    }
    write_plan(path, content)
    _keep_source(plan, path)
    return (*plan.departures, *before)


def _data_before(plan: StudyPlan, folder: Path, runs: Path) -> list[str]:
    """Runs that hold members of this plan already, unless this very plan was frozen before them."""
    there = members_with_data(runs, plan.member_ids)
    excused: set[str] = set()
    for other in study_paths(folder):
        frozen = read_plan(other)
        if frozen and frozen.get("plan_hash") == plan.plan_hash and not frozen.get("after_data"):
            excused |= set(read_runs(other).values())
    late = {name: count for name, count in there.items() if name not in excused}
    if not late:
        return []
    names = ", ".join(list(late)[:3]) + (f" and {len(late) - 3} more runs" if len(late) > 3 else "")
    return [f"{sum(late.values())} of its networks had been trained before the plan was fixed ({names})"]


def _trained(
    batch: Batch,
    path: Path,
    runs: Path,
    named: dict[str, str],
    train: Train,
    place_of: Callable[[Request, bool], Path],
    *,
    again: bool,
) -> Run:
    key = f"{batch.role}/{batch.look}"
    if key not in named:
        # Named before it trains: an interrupted study finds its run again, a repeated one makes another.
        named[key] = place_of(batch.request, again).name
        write_runs(path, named)
    return train(batch.experiment, batch.request, runs / named[key])


def _analysed(
    plan: StudyPlan, path: Path, look: int, stored: Sequence[tuple[Batch, Run]], reasons: tuple[str, ...]
) -> Conducted:
    by_role: dict[str, list[tuple[Run, str]]] = {}
    for batch, run in stored:
        by_role.setdefault(batch.role, []).append((run, _seed_field(batch.request)))
    findings, figures, tables = judged(plan, gathered(plan.study, by_role), look)
    commit = source_commit()
    streams = _varied_streams([batch.request for batch, _ in stored])
    margins = set(plan.study.margins.values())
    marked = []
    for finding in findings:
        undeclared = finding.margin is not None and finding.margin not in margins
        said = f"its margin {finding.margin:g} is not declared" if undeclared else ""
        marked.append(
            replace(
                finding,
                exploratory=bool(reasons) or undeclared,
                commit=commit,
                varied_streams=finding.varied_streams or streams,
                note="; ".join(filter(None, (finding.note, said))),
            )
        )
    return Conducted(
        path=path,
        plan=plan,
        look=look,
        findings=tuple(marked),
        figures=tuple(figures),
        tables=tuple(tables),
        runs={role: tuple(run for run, _ in pairs) for role, pairs in by_role.items()},
        exploratory=reasons,
    )


def _record(conducted: Conducted, folder: Path) -> None:
    """Adds the analysis to those made before; only the same plan at the same look replaces its own."""
    plan, path = conducted.plan, conducted.path
    folder.mkdir(parents=True, exist_ok=True)
    _keep_source(plan, path)
    mine = (plan.plan_hash, conducted.look)
    others = [one for one in read_analyses(path) if (one["plan_hash"], one["look"]) != mine]
    analysis: dict[str, Any] = {
        "plan_hash": plan.plan_hash,
        "look": conducted.look,
        "looks": plan.num_looks,
        "exploratory": list(conducted.exploratory),
        "left_out": list(plan.left_out),
        "commit": source_commit(),
        "analysed_utc": _now(),
        "runs": {role: [run.name for run in runs] for role, runs in conducted.runs.items()},
        "findings": [finding.as_row() | {"sentence": finding.sentence} for finding in conducted.findings],
        "tables": [table.as_document() for table in conducted.tables],
    }
    write_analyses(path, plan.name, [*others, analysis])


def _keep_source(plan: StudyPlan, path: Path) -> None:
    code = StudyPaths(path).code
    code.mkdir(exist_ok=True)
    copy = code / copy_name(plan.found.path, plan.found.source_hash)
    if not copy.exists():
        write_file(copy, plan.found.source)


def _seed_field(request: Request) -> str:
    return request.varied[0] if request.varied else "seed"


def _varied_streams(requests: Sequence[Request]) -> tuple[str, ...]:
    """The random streams in which runs of an arm differ."""
    fields = {_seed_field(request) for request in requests if request.varied}
    streams = [field.removesuffix("_seed") for field in sorted(fields) if field != "seed"]
    if "seed" in fields:
        spec = requests[0].spec
        fixed = [n for n in type(spec).model_fields if n.endswith("_seed") and getattr(spec, n) is not None]
        names = ", ".join(name.removesuffix("_seed") for name in fixed)
        streams.append(f"all but {names}" if names else "all")
    return tuple(streams)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """One process at a time; a study that could not even begin leaves no folder behind."""
    path.mkdir(parents=True, exist_ok=True)
    held = lock.acquire(StudyPaths(path).lock)
    try:
        yield
    except BaseException:
        if not StudyPaths(path).plan.exists():
            StudyPaths(path).lock.unlink(missing_ok=True)
            _remove_empty(path)
        raise
    finally:
        lock.release(held)


def _remove_empty(path: Path) -> None:
    for folder in (StudyPaths(path).code, path, path.parent):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
