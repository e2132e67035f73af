"""The plan of a study: every run that it will train, and what it is judged by."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from epochal.core.values.identity import digest
from epochal.core.values.request import Request
from epochal.core.values.study import Study
from epochal.experiments.catalog import Experiment
from epochal.studies import Found


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The runs of one arm that the look ``look`` (from 1) adds."""

    role: str
    look: int
    experiment: Experiment
    request: Request


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What will be trained and how it is judged; ``departures`` from the study file make it exploratory.

    ``left_out`` has a line for arms that lack their data: which, what is missing, how to get it.
    """

    name: str
    found: Found
    study: Study
    is_quick: bool
    batches: tuple[Batch, ...]
    document: Mapping[str, Any]
    departures: tuple[str, ...]
    words: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def plan_hash(self) -> str:
        return digest(self.document)

    @property
    def directory(self) -> str:
        """Name of the study's folder. Margins, detectors and looks are no part of it: with others, the same
        data are found there, and that they are other ones."""
        quick = "-quick" if self.is_quick else ""
        return f"{self.name[:80]}{quick}-{digest([self.name, self.is_quick, self.document['data']])[:8]}"

    @property
    def command(self) -> str:
        """The command line that conducts this plan again."""
        return shlex.join(["epochal", "study", *self.words])

    @property
    def num_looks(self) -> int:
        return max(batch.look for batch in self.batches)

    @property
    def member_ids(self) -> set[str]:
        return {member_id for batch in self.batches for member_id in batch.request.member_ids}
