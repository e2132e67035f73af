"""What the columns of one log are: the step, what tells runs apart, the value to look at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean
from epochal.store.foreign import names
from epochal.store.foreign.labels import fields_of
from epochal.store.foreign.log import Log
from epochal.store.foreign.tables import first_text


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the user says about the columns; empty is guessed. ``arms`` tell unlike runs apart.

    ``percent``: whether accuracies are in percent, None to see. ``offset`` is added to steps to make them
    completed updates. ``as_is`` columns are not converted.
    """

    step: str = ""
    run: str = ""
    value: str = ""
    others: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    percent: bool | None = None
    offset: int | None = None
    as_is: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of one log are."""

    step: str
    run: str | None


def columns_of(log: Log, reading: Reading) -> Columns:
    """Step and run column of one log."""
    there = log.frame.columns
    step = names.named(reading.step, there, "step", log.path) if reading.step else None
    step = step or log.step_column or names.guessed(names.STEPS, there)
    if step is None:
        raise UserError(
            f"{log.path} has no column that looks like a step; name it with --step; there is {listed(there)}"
        )
    others = [name for name in there if name != step]
    is_of_log = reading.run in {**log.fields, **fields_of(str(log.path))} and reading.run not in others
    run = log.run_column
    if reading.run and not is_of_log:
        run = names.named(reading.run, others, "run", log.path)
    run = run or (None if is_of_log else names.guessed(names.RUNS, others))
    return Columns(step=step, run=run)


def value_of(logs: Sequence[Log], chosen: Sequence[Columns], reading: Reading) -> str:
    """The column to analyse; every named column must be in some log."""
    there = list(
        dict.fromkeys(
            name
            for log, columns in zip(logs, chosen, strict=True)
            for name in log.frame.columns
            if name not in (columns.step, columns.run)
        )
    )
    place = logs[0].path if len(logs) == 1 else f"none of {len(logs)} logs"
    for given, option in ((reading.value, "value"), *((name, "align") for name in reading.others)):
        if given and given not in there:
            if len(logs) == 1:
                names.named(given, there, option, place)
            raise UserError(f"--{option} {given}: {place} has such a column{did_you_mean(given, there)}")
    for name in reading.arms:
        if name not in there and not any(name in {**log.fields, **fields_of(str(log.path))} for log in logs):
            known = [*there, *(field for log in logs for field in log.fields)]
            raise UserError(f"--arm {name}: no log has it{did_you_mean(name, dict.fromkeys(known))}")
    if reading.value:
        return reading.value
    numeric = [
        name
        for name in there
        if not names.CLOCKS.search(name)
        and any(name in log.frame.columns and log.frame.schema[name].is_numeric() for log in logs)
        and name.lower() not in (*names.STEPS, *names.RUNS)
    ]
    value = names.guessed_value(numeric)
    if value is None:
        raise UserError(
            f"{place} has no accuracy and no loss; name the column with --value; there is {listed(there)}"
        )
    return value


def records(log: Log, columns: Columns, wanted: Sequence[str], reading: Reading) -> pl.DataFrame:
    """Rows with a step: ``_run``, ``step``, and every other column that is a number, or an arm.

    Raises:
        UserError: a step or a wanted value that is no number, or a step below 0.
    """
    for name in [columns.step, *wanted]:
        if name in log.frame.columns and not (
            log.frame.schema[name].is_numeric() or log.frame.schema[name] == pl.Null
        ):
            wrong = first_text(log.frame[name].to_list())
            if wrong is not None:
                raise UserError(
                    f"{log.path} row {wrong[0] + 1}: {name} is {wrong[1]!r}, no number; mend or delete it"
                )
    step = pl.col(columns.step).cast(pl.Float64)
    kept = [
        pl.col(name).cast(pl.Float64)
        for name, dtype in log.frame.schema.items()
        if name not in (columns.step, columns.run, "step")
        and (dtype.is_numeric() or dtype == pl.Null)
        and name not in reading.arms
    ]
    arms = [pl.col(name) for name in log.frame.columns if name in reading.arms]
    texts = [
        pl.col(name)
        for name, dtype in log.frame.schema.items()
        if dtype == pl.String and name != columns.run and name not in reading.arms
    ]
    run = pl.col(columns.run).cast(pl.String) if columns.run else pl.lit("")
    frame = log.frame.select(run.alias("_run"), step.alias("step"), *kept, *arms, *texts)
    frame = frame.filter(pl.col("step").is_not_null()).with_columns(pl.col("_run").fill_null(""))
    if not len(frame):
        raise UserError(f"{log.path}: {columns.step} is empty in every row; name the step with --step")
    bad = frame.filter(~pl.col("step").is_finite() | (pl.col("step") < 0))
    if len(bad):
        raise UserError(f"{log.path}: {columns.step} is {bad['step'][0]:g} in a row; steps are at least 0")
    offset = log.step_offset if reading.offset is None else reading.offset
    if columns.step == "trainer/global_step" and reading.offset is None:
        offset = 1
    return frame.with_columns(pl.col("step") + offset)


def pivoted(log: Log) -> Log:
    """A table of (step, metric, value) as one with a column per metric; others as they are."""
    frame = log.frame
    metric, value = names.guessed(names.METRICS, frame.columns), names.guessed(names.VALUES, frame.columns)
    if metric is None or value is None or frame.schema[metric] != pl.String:
        return log
    if not frame.schema[value].is_numeric():
        wrong = first_text(frame[value].to_list())
        if wrong is not None:
            raise UserError(
                f"{log.path} row {wrong[0] + 1}: {value} is {wrong[1]!r}, no number; mend or delete the row"
            )
    index = [name for name in frame.columns if name not in (metric, value) and not names.CLOCKS.search(name)]
    wide = frame.filter(pl.col(metric).is_not_null()).with_columns(
        pl.int_range(pl.len()).over([*index, metric]).alias("_repeat")
    )
    repeated = wide.filter(pl.col("_repeat") > 0)
    if len(repeated):
        row = repeated.row(0, named=True)
        raise UserError(
            f"{log.path} has {row[metric]} twice with the same {', '.join(index)}: several runs seem to be "
            "mixed; add a column that tells them apart"
        )
    return replace(log, frame=wide.drop("_repeat").pivot(on=metric, index=index, values=value))


def listed(columns: Sequence[str]) -> str:
    return ", ".join(columns[:12]) + (f" and {len(columns) - 12} more" if len(columns) > 12 else "")
