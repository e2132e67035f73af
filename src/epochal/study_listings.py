"""Tables of conducted studies for the command line: which there are, what each found."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from epochal.core.values.errors import UserError
from epochal.core.values.finding import Finding
from epochal.core.values.study import Arm, Study
from epochal.store.studies import StudyPaths, read_analyses, read_plan, study_paths


def studies(folder: Path, text: str = "") -> list[dict[str, Any]]:
    """One row per conducted study, by when its plan was frozen: what its last analysis found."""
    rows = [_row(path) for path in study_paths(folder) if text in path.name]
    return sorted(rows, key=lambda row: (row["frozen_utc"], row["name"]))


def analyses(study: Path) -> list[dict[str, Any]]:
    """Every analysis of a study, oldest first, as it is stored, with its page."""
    plan = read_plan(study) or {}
    return [
        {"study": study.name, "frozen_utc": plan.get("frozen_utc", ""), **one} for one in read_analyses(study)
    ]


def shown(study: Path) -> list[str]:
    """A study in lines: question, prediction, what came too late, and a sentence for each finding."""
    plan = read_plan(study)
    assert plan is not None
    document, made = plan["plan"], read_analyses(study)
    lines = [
        f"question    {document['question']}",
        f"prediction  {document['prediction']}",
        f"refuted by  {document['refutation']}",
        f"plan        {plan['plan_hash'][:8]}, frozen {plan['frozen_utc']}",
    ]
    if not made:
        lines += ["", "no analysis yet: it was stopped before its first look; the same command goes on"]
    for one in made:
        lines.append("")
        other = "" if one["plan_hash"] == plan["plan_hash"] else f", by the plan {one['plan_hash'][:8]}"
        lines.append(f"look {one['look']} of {one['looks']}, {one['analysed_utc']}{other}")
        lines += [f"exploratory {reason}" for reason in one["exploratory"]]
        lines += [f"left out    {line}" for line in one.get("left_out", [])]
        lines += [str(row["sentence"]) for row in one["findings"]]
        lines += [line for table in one.get("tables", []) for line in _table_lines(table)]
    page = StudyPaths(study).report
    return [*lines, "", f"study   {study}", *([f"report  {page}"] if page.exists() else [])]


def _table_lines(table: Mapping[str, Any]) -> list[str]:
    rows = [", ".join(f"{name} {cell}" for name, cell in row.items()) for row in table["rows"]]
    return ["", f"{table['title']}:", *rows]


def declared(study: Study) -> list[str]:
    """A study as its file has it, in lines."""
    quick = any(arm.quick or arm.form == "quick" for arm in study.arms.values())
    lines = [
        f"question    {study.question}",
        f"prediction  {study.prediction}",
        f"refuted by  {study.refutation}",
        *(f"arm         {name}: {_arm_text(arm)}" for name, arm in study.arms.items()),
        *(f"detector    {name}: {d.kind} of {d.column}" for name, d in study.detectors.items()),
        *(f"margin      {name}: {value:g}" for name, value in study.margins.items()),
    ]
    if study.looks:
        lines.append(f"looks       at {', '.join(map(str, study.looks.runs))} runs per arm")
    return [*lines, "has a quick form: --quick"] if quick else lines


def as_declared(name: str, study: Study) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "study": name,
        "question": study.question,
        "prediction": study.prediction,
        "refutation": study.refutation,
        "arms": {role: asdict(arm) for role, arm in study.arms.items()},
        "detectors": {role: asdict(detector) for role, detector in study.detectors.items()},
        "margins": dict(study.margins),
        "looks": asdict(study.looks) if study.looks else None,
    }


def _arm_text(arm: Arm) -> str:
    words = [f"preset={arm.preset}"] if arm.preset else []
    words = [*words, *([f"({arm.form} form only)"] if arm.form != "both" else [])]
    words += [f"(on {' or '.join(arm.data)}, left out without)"] if arm.data else []
    return " ".join([arm.experiment, *words, *(f"{name}={value}" for name, value in arm.settings.items())])


def finding_row(finding: Finding) -> dict[str, Any]:
    """A finding in a table of the command line."""
    interval = "" if finding.low is None else f"[{finding.low:.4g}, {finding.high:.4g}]".replace("inf", "∞")
    return {
        "claim": finding.claim,
        "verdict": finding.verdict + (", exploratory" if finding.exploratory else ""),
        "estimate": "" if finding.estimate is None else f"{finding.estimate:.4g} {finding.unit}".strip(),
        "interval": interval,
        "p": "" if finding.p is None else f"{finding.p:.2g}",
        "runs": finding.num_runs,
    }


def _row(study: Path) -> dict[str, Any]:
    try:
        plan, made = read_plan(study), read_analyses(study)
    except UserError as error:
        return _as_row(study, {}, "", f"unreadable: {error}", "")
    assert plan is not None
    if not made:
        return _as_row(study, plan, "", "no analysis yet", "")
    last = made[-1]
    verdicts = Counter(row["verdict"] for row in last["findings"])
    said = ", ".join(f"{number} {verdict}" for verdict, number in verdicts.most_common())
    is_exploratory = last["exploratory"] or any(row["exploratory"] for row in last["findings"])
    look = f"{last['look']} of {last['looks']}"
    return _as_row(study, plan, look, said, "exploratory" if is_exploratory else "as planned")


def _as_row(study: Path, plan: Mapping[str, Any], look: str, verdicts: str, standing: str) -> dict[str, Any]:
    arms: Mapping[str, Any] = plan.get("plan", {}).get("arms", {})
    members: Sequence[str] = [m for arm in arms.values() for m in arm.get("member_ids", [])]
    return {
        "name": study.name,
        "arms": len(arms),
        "networks": len(members),
        "look": look,
        "verdicts": verdicts,
        "standing": standing,
        "frozen_utc": plan.get("frozen_utc", ""),
    }
