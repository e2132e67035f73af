"""Study directories: the frozen plan, which run belongs to which role, every analysis that was ever made.

``studies/NAME-HASH/`` holds ``plan.json`` (written before the first data and never again after them),
``runs.json``, ``findings.json``, ``code/`` (the study file as it was at each analysis), ``report.html``.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean
from epochal.store.catalog import run_paths
from epochal.store.documents import check_format, read_json, read_parquet, write_json
from epochal.store.paths import RunPaths

STUDY_FORMAT = 1


@dataclass(frozen=True)
class StudyPaths:
    """Where everything in a study directory lies."""

    study: Path

    @property
    def plan(self) -> Path:
        return self.study / "plan.json"

    @property
    def runs(self) -> Path:
        return self.study / "runs.json"

    @property
    def findings(self) -> Path:
        return self.study / "findings.json"

    @property
    def code(self) -> Path:
        return self.study / "code"

    @property
    def report(self) -> Path:
        return self.study / "report.html"

    @property
    def lock(self) -> Path:
        return self.study / "lock"


def study_place(folder: Path, name: str, *, again: bool) -> Path:
    """Where a study of this directory name lies or will lie; ``again`` goes on to the first repeat without
    findings."""
    path = folder / name
    if not again or not StudyPaths(path).findings.exists():
        return path
    repeats = (folder / f"{name}.{number}" for number in itertools.count(2))
    return next(repeat for repeat in repeats if not StudyPaths(repeat).findings.exists())


def read_plan(study: Path) -> dict[str, Any] | None:
    """``plan.json``; None where there is none yet.

    Raises:
        UserError: it is damaged, or of a format that this version does not read.
    """
    return _read(StudyPaths(study).plan)


def write_plan(study: Path, content: Mapping[str, Any]) -> None:
    write_json(StudyPaths(study).plan, {"format": STUDY_FORMAT, **content})


def read_runs(study: Path) -> dict[str, str]:
    """``ROLE/LOOK`` to the name of its run."""
    return dict((_read(StudyPaths(study).runs) or {}).get("runs", {}))


def write_runs(study: Path, runs: Mapping[str, str]) -> None:
    write_json(StudyPaths(study).runs, {"format": STUDY_FORMAT, "runs": dict(runs)})


def read_analyses(study: Path) -> list[dict[str, Any]]:
    """Every analysis, oldest first: its plan's hash, its look, why it is exploratory, its findings."""
    return list((_read(StudyPaths(study).findings) or {}).get("analyses", []))


def write_analyses(study: Path, name: str, analyses: Iterable[Mapping[str, Any]]) -> None:
    content = {"format": STUDY_FORMAT, "study": name, "analyses": [dict(one) for one in analyses]}
    write_json(StudyPaths(study).findings, content)


def study_paths(folder: Path) -> list[Path]:
    """The study directories in ``folder``, by name."""
    return sorted(path.parent for path in folder.glob("*/plan.json"))


def find_study(text: str | Path, folder: Path) -> Path:
    """The study that ``text`` means: a path, a name in ``folder``, or any unique part of it.

    Raises:
        UserError: none or several fit; the nearest few are listed.
    """
    if StudyPaths(Path(text)).plan.exists():
        return Path(text)
    text = str(text).rstrip("/")
    names = [path.name for path in study_paths(folder)]
    for fits in ([n for n in names if n == text], [n for n in names if text and text in n]):
        if len(fits) == 1:
            return folder / fits[0]
        if fits:
            more = f" and {len(fits) - 5} more" if len(fits) > 5 else ""
            raise UserError(
                f"{text!r} fits {len(fits)} studies: {', '.join(fits[:5])}{more}; give more of the name"
            )
    raise UserError(f"no study {text!r} in {folder}{did_you_mean(text, names)}")


def members_with_data(runs: Path, wanted: set[str]) -> dict[str, int]:
    """Name of a run to how many of the wanted members it has: runs that were there before."""
    found: dict[str, int] = {}
    for path in run_paths(runs):
        try:
            ids: pl.Series = read_parquet(RunPaths(path).members, columns=["member_id"])["member_id"]
        except UserError:
            continue  # a damaged run shows nobody its data
        if shared := len(wanted & set(ids.to_list())):
            found[path.name] = shared
    return found


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    content = read_json(path)
    check_format(path, content, STUDY_FORMAT)
    return content
