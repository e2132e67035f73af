"""A finding: what is claimed, how large it is, against which null, and what follows."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Verdict = Literal["supported", "refuted", "undecided"]


def judged(p: float, alpha: float, *, is_refuted: bool) -> Verdict:
    """Supported by its test at ``alpha``; else refuted where its interval says so; else undecided."""
    return "supported" if p <= alpha else "refuted" if is_refuted else "undecided"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """``estimate`` with its interval ``low .. high`` (of ``level``), in ``unit``; None where there is none.

    ``p`` is that of the test that made the finding, under ``null``; ``adjusted_p`` after its family was
    corrected. ``num_runs`` independent runs stand behind it (seeds, never steps or samples). ``smallest_p``
    is the least p that so few runs can give, 0 where nothing bounds it (a t test); ``runs_needed`` how many
    would decide with power ``power`` if the effect is what these runs show; None where they show none, or
    that was not asked. ``margin`` was fixed beforehand. A finding is ``exploratory`` when anything about it
    was chosen after the data were seen. ``refuted`` needs an interval that excludes the claim; what is
    neither supported nor refuted is undecided.
    """

    claim: str
    test: str
    estimate: float | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    num_runs: int
    null: str
    p: float | None
    adjusted_p: float | None = None
    margin: float | None = None
    verdict: Verdict
    smallest_p: float | None = None
    runs_needed: int | None = None
    power: float = 0.9
    exploratory: bool = True
    member_ids: tuple[str, ...] = ()
    varied_streams: tuple[str, ...] = ()
    commit: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        assert self.num_runs >= 0 and 0 < self.level < 1
        assert self.p is None or 0 <= self.p <= 1
        assert (self.low is None) == (self.high is None)
        assert self.low is None or self.high is None or self.low <= self.high
        # A refutation is an interval that excludes the claim; absence of evidence is none.
        assert self.verdict != "refuted" or self.low is not None

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        parts = [f"{self.claim}: {self.verdict}"]
        unit = f" {self.unit}" if self.unit else ""
        interval = ""
        if self.low is not None and self.high is not None:
            level = "" if self.level == 0.95 else f"{100 * self.level:.4g}% interval "
            interval = f"{level}[{_short(self.low)}, {_short(self.high)}]"
        if self.estimate is not None:
            parts.append(f"{_short(self.estimate)}{unit}{f' {interval}' if interval else ''}")
        elif interval and (math.isfinite(self.low or 0) or math.isfinite(self.high or 0)):
            parts.append(f"{interval}{unit}")
        if self.margin is not None:
            parts.append(f"margin {_short(self.margin)}{unit}")
        if self.p is not None:
            adjusted = f", {_probability(self.adjusted_p)} adjusted" if self.adjusted_p is not None else ""
            said = _probability(self.p)
            equals = "p" if said.startswith("<") else "p ="
            parts.append(f"{equals} {said}{adjusted} ({self.test}, against {self.null})")
        parts.append(f"{self.num_runs} runs")
        if self.verdict == "undecided" and self.p is not None:
            needed = "no number known that" if self.runs_needed is None else f"about {self.runs_needed}"
            parts.append(f"{needed} would decide with power {self.power:g}")
        if self.smallest_p and self.p is not None:
            parts.append(f"smallest attainable p {_probability(self.smallest_p)}")
        if self.note:
            parts.append(self.note)
        return "; ".join(parts) + (". Exploratory." if self.exploratory else ".")

    def as_row(self) -> dict[str, object]:
        """Every field, tuples as lists, for JSON and tables; what is not finite becomes None."""
        row = asdict(self)
        row = {name: list(value) if isinstance(value, tuple) else value for name, value in row.items()}
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in row.items()
        }


def stored_row(finding: Finding) -> dict[str, Any]:
    """``as_row`` that keeps which end is infinite, as the text ``inf`` or ``-inf``, with the sentence."""
    ends = {name: getattr(finding, name) for name in ("estimate", "low", "high")}
    infinite = {name: str(end) for name, end in ends.items() if end is not None and math.isinf(end)}
    return finding.as_row() | infinite | {"sentence": finding.sentence}


def finding_of(row: Mapping[str, Any]) -> Finding:
    """The finding that ``stored_row`` wrote."""
    known = {field.name: row[field.name] for field in fields(Finding) if field.name in row}
    lists = {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
    ends = {name: float(known[name]) for name in ("estimate", "low", "high") if known[name] is not None}
    return Finding(**{**known, **lists, **ends})


def _short(number: float | None) -> str:
    return "–" if number is None else f"{number:.4g}".replace("inf", "∞")


def _probability(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"
