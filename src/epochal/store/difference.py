"""What tells two stored runs apart: their descriptions, and the first step at which their records differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from epochal.store.run import Run

TOLERANCE = 1e-6
"""Relative difference from which two recorded values are called different by more than rounding."""

KEYS = ("member", "step", "epoch")
CODE = ("semantics", "code", "sources", "epochal", "commit")
VERSIONS = ("python", "torch", "numpy")
HARDWARE = ("system", "hardware", "cores", "memory_gigabytes", "device", "threads")
UNTOLD = (
    "format", "run_id", "command", "defaults", "experiment", "preset", "fields", "varied", "max_steps",
    "settings", "probes", "executor_measured",
)  # fmt: skip
"""Parts of a spec that follow from its fields, or are told under another name."""


@dataclass(frozen=True, kw_only=True)
class Aspect:
    """One thing that differs: ``kind`` is field, code, version, hardware, data or run."""

    kind: str
    name: str
    a: object
    b: object


@dataclass(frozen=True, kw_only=True)
class Parting:
    """Where a column of a member of both runs first differs in any bit, with the two values.

    ``relative`` is their distance over the larger magnitude; ``far_step`` the first step at which it
    exceeds `TOLERANCE`, with its values, None where it never does.
    """

    member_id: str
    member_a: int
    member_b: int
    column: str
    step: int
    a: object
    b: object
    relative: float | None
    far_step: int | None
    far_a: object
    far_b: object


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that differs between runs A and B; ``records`` were compared, of ``common`` members."""

    aspects: tuple[Aspect, ...]
    common: int
    only_a: int
    only_b: int
    records: int
    records_only_a: int
    records_only_b: int
    columns_only_a: tuple[str, ...]
    columns_only_b: tuple[str, ...]
    partings: tuple[Parting, ...]

    @property
    def is_identical(self) -> bool:
        return not self.aspects and self.is_same_members and self.is_same_records

    @property
    def is_same_members(self) -> bool:
        return self.common > 0 and not (self.only_a or self.only_b)

    @property
    def is_same_records(self) -> bool:
        """Whether the members in common have the same records, in every bit."""
        return not (
            self.partings
            or self.records_only_a
            or self.records_only_b
            or self.columns_only_a
            or self.columns_only_b
        )


def compare(a: Run, b: Run) -> Comparison:
    """Members are matched by ``member_id``, so their numbers and runs may be called anything.

    Raises:
        UserError: a file of one of them is missing or damaged.
    """
    ids = {"a": _ids(a), "b": _ids(b)}
    common = ids["a"].join(ids["b"], on="member_id", suffix="_b").rename({"member": "member_a"})
    rows_a = a.metrics.join(common, left_on="member", right_on="member_a", how="inner")
    rows_b = b.metrics.join(common, left_on="member", right_on="member_b", how="inner")
    both = rows_a.join(
        rows_b.drop("member_a"), on=["member_id", "step"], how="inner", suffix="__b", maintain_order="left"
    )
    columns_a = [name for name in a.metrics.columns if name not in KEYS]
    columns_b = [name for name in b.metrics.columns if name not in KEYS]
    partings = [
        parting
        for group in both.sort("step", maintain_order=True).partition_by("member_id", maintain_order=True)
        for name in columns_a
        if name in columns_b and (parting := _parting(group, name)) is not None
    ]
    return Comparison(
        aspects=tuple(_aspects(a, b)),
        common=len(common),
        only_a=len(a.members) - len(common),
        only_b=len(b.members) - len(common),
        records=len(both),
        records_only_a=len(rows_a) - len(both),
        records_only_b=len(rows_b) - len(both),
        columns_only_a=tuple(name for name in columns_a if name not in columns_b),
        columns_only_b=tuple(name for name in columns_b if name not in columns_a),
        partings=tuple(sorted(partings, key=lambda found: (found.step, found.member_a))),
    )


def first_difference(a: Sequence[Any], b: Sequence[Any]) -> tuple[int | None, int | None]:
    """First place at which two columns differ in a bit, and first at which they do by more than `TOLERANCE`.

    None is "not measured" and equals None only; NaN equals NaN.
    """
    bits = [place for place, (x, y) in enumerate(zip(a, b, strict=True)) if not is_same(x, y)]
    far = next((place for place in bits if not relative(a[place], b[place]) <= TOLERANCE), None)
    return (bits[0] if bits else None), far


def is_same(a: Any, b: Any) -> bool:
    """Whether two values are equal in every bit; NaN equals NaN, and 0.0 is not -0.0."""
    if isinstance(a, float) and isinstance(b, float):
        return (a != a and b != b) or np.float64(a).tobytes() == np.float64(b).tobytes()
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(is_same, a, b))
    return type(a) is type(b) and bool(a == b)


def relative(a: Any, b: Any) -> float:
    """``|a - b| / max(|a|, |b|)``, of lists the largest; infinite where there is no number to compare."""
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max(map(relative, a, b), default=0.0)
    if isinstance(a, int | float) and isinstance(b, int | float):
        if is_same(float(a), float(b)) or a == b:
            return 0.0
        distance = abs(a - b) / max(abs(a), abs(b))
        return float(distance) if np.isfinite(distance) else np.inf
    return 0.0 if is_same(a, b) else np.inf


def _parting(rows: pl.DataFrame, column: str) -> Parting | None:
    first, second = rows[column], rows[f"{column}__b"]
    if first.equals(second, null_equal=True) and not (first == 0).any():
        return None  # the usual case, at the speed of polars; zeros may still differ in sign
    a, b = first.to_list(), second.to_list()
    place, far = first_difference(a, b)
    if place is None:
        return None
    distance = relative(a[place], b[place])
    return Parting(
        member_id=rows["member_id"][0],
        member_a=rows["member"][0],
        member_b=rows["member_b"][0],
        column=column,
        step=rows["step"][place],
        a=a[place],
        b=b[place],
        relative=distance if np.isfinite(distance) else None,
        far_step=None if far is None else rows["step"][far],
        far_a=None if far is None else a[far],
        far_b=None if far is None else b[far],
    )


def _ids(run: Run) -> pl.DataFrame:
    return run.members.select("member", "member_id")


def _aspects(a: Run, b: Run) -> list[Aspect]:
    rows: list[Aspect] = []

    def tell(kind: str, first: Mapping[str, Any], second: Mapping[str, Any], names: Sequence[str]) -> None:
        for name in names:
            if first.get(name) != second.get(name):
                rows.append(Aspect(kind=kind, name=name, a=first.get(name), b=second.get(name)))

    tell("run", a.spec, b.spec, ["experiment", "preset"])
    fields = list(dict.fromkeys([*a.spec["fields"], *b.spec["fields"]]))
    is_data = {name: name == "data_checksum" for name in fields}
    tell("field", a.spec["fields"], b.spec["fields"], [name for name in fields if not is_data[name]])
    tell("data", a.spec["fields"], b.spec["fields"], [name for name in fields if is_data[name]])
    others = [name for name in dict.fromkeys([*a.spec, *b.spec]) if name not in UNTOLD]
    tell("code", a.spec, b.spec, [name for name in others if name in CODE])
    tell("code", a.environment, b.environment, CODE)
    tell("version", a.environment, b.environment, VERSIONS)
    tell("hardware", a.environment, b.environment, HARDWARE)
    tell("data", a.environment, b.environment, ["splits"])
    tell("run", a.spec, b.spec, [name for name in others if name not in CODE])
    return rows
