"""What the page of a run claims: what it says by itself and what was asked of it, as one family."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from epochal.analysis import adjust
from epochal.core.values.finding import Finding, finding_of, stored_row
from epochal.report.arm_findings import compared
from epochal.report.delay_findings import delays
from epochal.report.event_times import Timed, arm_fields, event_names, timed
from epochal.report.reading import RunLike
from epochal.report.tables import unlearnt
from epochal.store.run_findings import StoredFindings, read_findings, write_findings

EVENT = "generalisation"


@dataclass(frozen=True, kw_only=True)
class RunFindings:
    """Findings as shown, with the p of the whole family; the command that asked for each, or ""."""

    findings: tuple[Finding, ...]
    commands: tuple[str, ...]
    unsaid: tuple[str, ...]


def findings_of(run: RunLike) -> RunFindings:
    """The delay in each arm, the difference of arms in when they generalise, and whatever was asked.

    Which questions a run answers by itself follows from its fields alone. All of them come after the data, so
    all are exploratory, and Holm's correction counts every one that is shown. A member has generalised where
    it was told to have learnt: a rise of validation that ends far below is none. A run under way answers
    none: who looks until something shows would find it in time.
    """
    if not run.is_done and (run.members["outcome"] == "running").any():
        return RunFindings(findings=(), commands=(), unsaid=())
    made, unsaid = own_findings(run)
    commands = [""] * len(made)
    known = {claim_of(found) for found in made}
    for one in read_findings(run.path).asked:
        rows = [found for found in map(finding_of, one["findings"]) if claim_of(found) not in known]
        known |= {claim_of(found) for found in rows}
        made += rows
        commands += [one["command"]] * len(rows)
        unsaid += [f"{one['command']}: {line}" for line in one["unsaid"]]
    return RunFindings(findings=tuple(adjusted(made)), commands=tuple(commands), unsaid=tuple(unsaid))


def own_findings(run: RunLike) -> tuple[list[Finding], list[str]]:
    """What a run says without being asked, not corrected yet."""
    fields = arm_fields(run)
    made, unsaid = delays(run, fields) if len(run.events) else ([], [])
    if EVENT in event_names(run) and fields and len(run.members) > 1:
        found, lines = compared(run, without(timed(run, EVENT), unlearnt(run)), fields)
        made, unsaid = [*made, *found], [*unsaid, *lines]
    return made, unsaid


def without(times: Timed, members: Collection[int]) -> Timed:
    """The same, but in these members it had not happened by their last record."""
    these = np.isin(times.members, list(members))
    return replace(
        times,
        low=np.where(these, times.followed, times.low),
        high=np.where(these, np.inf, times.high),
        is_known=times.is_known | these,
    )


def claim_of(found: Finding) -> tuple[object, ...]:
    """What tells one question from another: asked twice, it counts once."""
    return (found.claim, found.test, found.margin, found.member_ids)


def adjusted(findings: list[Finding]) -> list[Finding]:
    return adjust(findings) if sum(found.p is not None for found in findings) > 1 else findings


def keep_findings(run: RunLike) -> RunFindings:
    """Writes ``findings.json`` with what the page is to show."""
    said = findings_of(run)
    rows = [
        stored_row(found) | {"command": command}
        for found, command in zip(said.findings, said.commands, strict=True)
    ]
    asked = read_findings(run.path).asked
    if rows or said.unsaid or asked:
        write_findings(run.path, StoredFindings(findings=rows, unsaid=said.unsaid, asked=asked))
    return said


def keep_asked(
    run: RunLike,
    question: Mapping[str, Any],
    command: str,
    findings: Sequence[Finding],
    unsaid: Sequence[str],
) -> None:
    """Adds a question and its answer to ``findings.json``; the same question replaces its own answer."""
    stored = read_findings(run.path)
    asked = {
        "command": command,
        "question": dict(question),
        "asked_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "findings": [stored_row(found) for found in findings],
        "unsaid": list(unsaid),
    }
    others = [one for one in stored.asked if one["question"] != asked["question"]]
    write_findings(run.path, replace(stored, asked=[*others, asked]))
