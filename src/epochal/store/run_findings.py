"""``findings.json`` of a run: what its page claims, and every question that was ever asked of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epochal.store.documents import check_format, read_json, write_json
from epochal.store.paths import RunPaths

FINDINGS_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class StoredFindings:
    """``findings`` as they are shown, corrected together; ``unsaid`` tells what could not be answered.

    ``asked`` are the questions of `epochal analyse`, oldest first: ``command``, ``question``, ``asked_utc``,
    and their own ``findings``, not corrected, and ``unsaid``.
    """

    findings: Sequence[Mapping[str, Any]] = ()
    unsaid: Sequence[str] = ()
    asked: Sequence[Mapping[str, Any]] = ()


def read_findings(run: Path) -> StoredFindings:
    """What is there; nothing where nobody has looked yet.

    Raises:
        UserError: the file is damaged, or of a format that this version does not read.
    """
    path = RunPaths(run).findings
    if not path.exists():
        return StoredFindings()
    content = read_json(path)
    check_format(path, content, FINDINGS_FORMAT)
    return StoredFindings(**{name: content.get(name, []) for name in ("findings", "unsaid", "asked")})


def write_findings(run: Path, stored: StoredFindings) -> None:
    content = {
        "format": FINDINGS_FORMAT,
        "findings": [dict(row) for row in stored.findings],
        "unsaid": list(stored.unsaid),
        "asked": [dict(one) for one in stored.asked],
    }
    write_json(RunPaths(run).findings, content)
