"""Which runs of a folder are wanted: by part of the name, by fields, by outcome."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from epochal.core.values.axes import expand, value_text
from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean

OUTCOMES = ("finished", "stopped early", "diverged", "running", "interrupted", "unreadable")
"""Words that the outcome of a listed run may contain."""
ABOUT = ("experiment", "preset")
"""What can be asked for like a field."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Runs with ``text`` in the name, a wanted value of every field, and the word ``outcome`` in the outcome.

    Values are texts in the grammar of ``core/values/axes.py``; a run whose members differ in a field has it
    where one member does. Numbers are compared as numbers: ``weight_decay=1`` finds 1.0.

    Raises:
        UserError: an outcome that no run can have, or a value that is none.
    """

    text: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    outcome: str = ""

    def __post_init__(self) -> None:
        if self.outcome and not any(self._word in known for known in OUTCOMES):
            raise UserError(f"outcome {self.outcome} is unknown{did_you_mean(self._word, OUTCOMES)}")
        _ = self._wanted

    def fits_name(self, name: str) -> bool:
        return self.text in name

    def fits_spec(self, spec: Mapping[str, Any]) -> bool:
        """Whether a run with this ``spec.json`` has a wanted value of every field."""
        return all(
            not wanted.isdisjoint(comparable(value) for value in values_in(spec, name))
            for name, wanted in self._wanted.items()
        )

    def fits_outcome(self, outcome: str) -> bool:
        return self._word in outcome

    def check_fields(self, specs: Iterable[Mapping[str, Any]]) -> None:
        """Every field must be one of some run.

        Raises:
            UserError: no run has it; the nearest names are offered.
        """
        known = {name for spec in specs for name in spec.get("fields", {})} | set(ABOUT)
        for name in self._wanted:
            if name not in known:
                raise UserError(f"no run has a field {name}{did_you_mean(name, known)}")

    @property
    def _word(self) -> str:
        return self.outcome.strip().lower().replace("_", " ")

    @cached_property
    def _wanted(self) -> dict[str, frozenset[object]]:
        wanted = {}
        for name, text in self.fields.items():
            try:
                values = expand(text, numeric=True)
            except ValueError as error:
                raise UserError(f"{name}={text} {error}") from error
            flat = name.removesuffix(".kind").replace(".", "_")
            wanted[flat] = frozenset(comparable(value) for value in [*values, text])
        return wanted


def values_in(spec: Mapping[str, Any], name: str) -> list[object]:
    """The values that the members of a run have of a field; none where the run has no such field."""
    if name in ABOUT:
        return [spec.get(name)]
    fields = spec.get("fields", {})
    if name not in fields:
        return []
    value = fields[name]
    return list(value["axis"]) if isinstance(value, Mapping) and "axis" in value else [value]


def comparable(value: object) -> object:
    """A number as a float, all else as its text."""
    if not isinstance(value, bool) and isinstance(value, int | float | str):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    return value_text(value).strip().lower()
