"""Stored runs as an analysis gets them: arm by arm, with the events that the declared detectors find."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from epochal.analysis import detect, first_passage
from epochal.core.values.errors import UserError
from epochal.core.values.event import Event
from epochal.core.values.study import Detector, Study
from epochal.core.values.study_runs import ArmRuns, CurveOf, MemberRun, StudyRuns
from epochal.store.run import Run
from epochal.store.split_sizes import split_sizes


def gathered(study: Study, stored: Mapping[str, Sequence[tuple[Run, str]]]) -> StudyRuns:
    """The runs of every role, in the order of their members; with each run the seed field that it varies.

    Raises:
        UserError: a detector reads a column that was not recorded, or does not fit it.
    """
    arms = {
        role: ArmRuns(
            role=role,
            runs=tuple(member for run, field in runs for member in _members(study, role, run, field)),
        )
        for role, runs in stored.items()
    }
    return StudyRuns(arms=arms, margins=dict(study.margins))


def detected(name: str, detector: Detector, curve: CurveOf, trials: int | None) -> Event:
    """What a detector finds on one curve; ``trials`` are the examples behind each accuracy.

    Raises:
        UserError: the detector's options do not fit.
    """
    steps, values = np.asarray(curve.steps, dtype=np.int64), np.asarray(curve.values, dtype=np.float64)
    options: dict[str, Any] = dict(detector.options)
    if not np.isfinite(values).any():
        return _nothing(f"no finite value of {detector.column} was recorded")
    try:
        if detector.kind == "passage":
            return first_passage(steps, values, **options)
        if detector.kind == "accuracy":
            options.setdefault("trials", trials)
        return detect(steps, values, kind=detector.kind, **options)
    except (UserError, TypeError) as error:
        raise UserError(f"detector {name}: {error}") from error


def _nothing(reason: str) -> Event:
    nan = math.nan
    return Event(
        found=False, step=nan, low=0.0, high=math.inf, width=nan, onset=nan, end=nan, height=nan,
        censored="right", reason=reason, p=nan,
    )  # fmt: skip


def _members(study: Study, role: str, run: Run, seed_field: str) -> list[MemberRun]:
    metrics = run.metrics.partition_by("member", as_dict=True)
    columns = [name for name in run.schema if name not in ("member", "step", "epoch")]
    detectors = {name: d for name, d in study.detectors.items() if d.reads(role)}
    for name, detector in detectors.items():
        if detector.column not in columns:
            raise UserError(
                f"detector {name} reads {detector.column}, which arm {role} does not record; it records "
                f"{', '.join(columns)}"
            )
    fixed = run.spec["fields"].get(seed_field)
    sizes = split_sizes(run.spec, run.environment, run.members["member"])
    made = []
    for row in run.members.iter_rows(named=True):
        records = metrics.get((row["member"],), run.metrics.clear())
        own = sizes.get(row["member"], {})
        curves = {name: _curve(records, name) for name in columns if records.schema[name].is_numeric()}
        curves |= {name: curve for column in columns for name, curve in curves_of_places(records, column)}
        events = {
            name: detected(name, d, curves[d.column], own.get(d.column.partition("_")[0]))
            for name, d in detectors.items()
        }
        made.append(
            MemberRun(
                member_id=row["member_id"],
                seed=int(row.get(seed_field, fixed)),
                outcome=row["outcome"],
                curves=curves,
                events=events,
                fields=run.spec["fields"] | {name: row[name] for name in run.spec["fields"] if name in row},
            )
        )
    return made


def _curve(records: pl.DataFrame, column: str) -> CurveOf:
    measured = records.filter(pl.col(column).is_not_null())
    return CurveOf(steps=measured["step"].to_list(), values=measured[column].cast(pl.Float64).to_list())


def curves_of_places(records: pl.DataFrame, column: str) -> Iterator[tuple[str, CurveOf]]:
    """The curve of each place of an array, as ``column.0``, ``column.1``; none for other columns."""
    if isinstance(records.schema[column], pl.List):
        measured = records.filter(pl.col(column).is_not_null())
        for place in range(int(measured[column].list.len().max() or 0)):  # type: ignore[arg-type]
            values = measured[column].list.get(place, null_on_oob=True).cast(pl.Float64)
            yield (
                f"{column}.{place}",
                CurveOf(
                    steps=measured["step"].to_list(),
                    values=[math.nan if value is None else value for value in values],
                ),
            )
