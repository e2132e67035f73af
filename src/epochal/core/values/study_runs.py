"""What an analysis gets of a study's runs: arm by arm, run by run, with the events the detectors found.

There is no way to get the runs of several arms as one: unlike arms are never pooled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from epochal.core.values.errors import UserError
from epochal.core.values.event import Event
from epochal.core.values.finding import Finding
from epochal.core.values.nearest import did_you_mean


@dataclass(frozen=True, kw_only=True)
class CurveOf:
    """One measure of one run where it was measured: completed updates, and values, finite or not."""

    steps: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class MemberRun:
    """One trained network: the replicate of a study."""

    member_id: str
    seed: int
    outcome: str
    """finished, stopped_early or diverged."""
    curves: Mapping[str, CurveOf]
    """By column; the places of an array column are ``column.0``, ``column.1`` and so on."""
    events: Mapping[str, Event]
    """By the name of their detector."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for, by the experiment's names."""


@dataclass(frozen=True, kw_only=True)
class ArmRuns:
    """The runs of one arm, which differ in their seed only, in the order of the seeds."""

    role: str
    runs: tuple[MemberRun, ...]

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]

    @property
    def member_ids(self) -> tuple[str, ...]:
        return tuple(run.member_id for run in self.runs)

    @property
    def has_diverged(self) -> list[bool]:
        """Per run. A run that diverged was not censored by chance: say in the finding how it counts."""
        return [run.outcome == "diverged" for run in self.runs]

    def events(self, detector: str) -> list[Event]:
        """What a detector found in each run.

        Raises:
            UserError: the study declares no such detector.
        """
        known = self.runs[0].events if self.runs else {}
        if self.runs and detector not in known:
            raise UserError(f"the study declares no detector {detector}{did_you_mean(detector, known)}")
        return [run.events[detector] for run in self.runs]

    def times(self, detector: str) -> list[tuple[float, float]]:
        """(low, high) in steps per run, as `epochal.analysis` takes them: equal for a point, high infinite
        where it had not happened by low."""
        return [
            (event.step, event.step) if event.censored == "none" else (event.low, event.high)
            for event in self.events(detector)
        ]


@dataclass(frozen=True, kw_only=True)
class StudyRuns:
    """All arms of a study as far as they are to be looked at, and the margins that were declared."""

    arms: Mapping[str, ArmRuns]
    margins: Mapping[str, float]
    alpha: float = 0.05
    """The level of this look, for tests and intervals: less than .05 where several looks share it."""

    def __getitem__(self, role: str) -> ArmRuns:
        if role not in self.arms:
            raise UserError(f"the study has no arm {role}{did_you_mean(role, self.arms)}")
        return self.arms[role]

    def margin(self, name: str) -> float:
        """A declared margin.

        Raises:
            UserError: there is none of this name.
        """
        if name not in self.margins:
            raise UserError(f"the study declares no margin {name}{did_you_mean(name, self.margins)}")
        return self.margins[name]

    def cited(self, finding: Finding, *roles: str) -> Finding:
        """The finding with the runs of these arms as those it rests on."""
        ids = [member_id for role in roles for member_id in self[role].member_ids]
        return replace(finding, member_ids=tuple(dict.fromkeys(ids)))
