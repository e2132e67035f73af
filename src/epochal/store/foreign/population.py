"""From the columns of logs to a population: which column is the step, what tells runs apart, which units."""

from collections.abc import Mapping, Sequence

import polars as pl

from epochal.store.foreign import names
from epochal.store.foreign.arms import Arms, arms_of, merged_records
from epochal.store.foreign.columns import Columns, Reading, columns_of, pivoted, records, value_of
from epochal.store.foreign.found import Found
from epochal.store.foreign.labels import fields_of, labels
from epochal.store.foreign.log import Log, Value
from epochal.store.foreign.members import arm_fields, member_order, members_table, with_outcomes
from epochal.store.foreign.units import as_fractions


def population(logs: Sequence[Log], reading: Reading) -> tuple[Found, str]:
    """The logs as one population, and the column that is to be analysed.

    Rows of one run at one step are one record: interleaved rows of training and validation are joined.

    Raises:
        UserError: a column that is missing, is no number, or repeats steps where nothing tells runs apart.
    """
    logs = [pivoted(log) for log in logs]
    chosen = [columns_of(log, reading) for log in logs]
    value = value_of(logs, chosen, reading)
    wanted = list(dict.fromkeys([value, *reading.others]))
    numbered = labels([log.path for log in logs])
    frames, fields, notes = [], list[dict[str, Value]](), list[str]()
    for log, columns, label in zip(logs, chosen, numbered, strict=True):
        notes += log.notes
        frame = records(log, columns, wanted, reading)
        frames.append(frame.with_columns(pl.lit(label).alias("_log")))
        fields.append({**({} if log.is_told else fields_of(label)), **log.fields})
    rows = pl.concat(frames, how="diagonal_relaxed")
    arms = arms_of(rows, logs, reading, [*wanted])
    merged, clashes = merged_records(rows, ["_log", "_run", *arms.columns], logs, reading)
    notes += clashes
    return made(logs, merged, chosen, fields, arms, numbered, value, wanted, reading, notes), value


def made(
    logs: Sequence[Log],
    merged: pl.DataFrame,
    chosen: Sequence[Columns],
    fields: Sequence[Mapping[str, Value]],
    arms: Arms,
    numbered: Sequence[str],
    value: str,
    wanted: Sequence[str],
    reading: Reading,
    notes: Sequence[str],
) -> Found:
    """Members and metrics, and one line that says what was taken for what."""
    keys = ["_log", "_run", *arms.columns]
    members = merged.select(keys).unique(maintain_order=True)
    order = member_order(members, numbered)
    members = members[order].with_row_index("member").with_columns(pl.col("member").cast(pl.Int64))
    metrics = merged.join(members, on=keys, how="left", nulls_equal=True, maintain_order="left")
    accuracies = [name for name in metrics.columns if names.is_accuracy(name) and name not in reading.as_is]
    if reading.percent and value not in accuracies and value not in reading.as_is:
        accuracies.append(value)
    metrics, unit_words = as_fractions(metrics, accuracies, wanted, reading.percent)
    is_whole = (metrics["step"] == metrics["step"].round()).all()
    metrics = metrics.with_columns(pl.col("step").cast(pl.Int64 if is_whole else pl.Float64))
    measures = [name for name in metrics.columns if name not in (*keys, "member", "step", "epoch")]
    has_epoch = "epoch" in metrics.columns
    metrics = metrics.select("member", "step", *(["epoch"] if has_epoch else []), *measures).sort(
        "member", "step"
    )
    run_names = {columns.run for columns in chosen}
    run_name = next(iter(run_names)) if len(run_names) == 1 else None
    by_log = dict(zip(numbered, fields, strict=True))
    table = members_table(members, arms, by_log, run_name)
    found_arms = arm_fields(table, arms, reading)
    constants = {
        name: v
        for name, v in (by_log[numbered[0]] if numbered else {}).items()
        if all(f.get(name) == v for f in by_log.values())
    }
    step = chosen[0].step
    offset = _offset(logs[0], step, reading)
    said = [
        f"step = {step}" + (f" + {offset} (the log holds the index of the last update)" if offset else "")
    ]
    if step == "_step":
        said[0] += " (W&B counts calls of wandb.log, which may be no updates)"
    said.append(f"run = {run_name or ('each log' if len(logs) > 1 else 'the whole log')}")
    said += [f"value = {value}", *(f"align = {name}" for name in reading.others)]
    said += [f"arm = {' × '.join(found_arms)}"] if found_arms else []
    said += [unit_words] if unit_words else []
    word = "epochs" if step.lower().rstrip("s") == "epoch" else "steps"
    return Found(
        path=logs[0].path,
        name=numbered[0] if len(logs) == 1 else f"{len(logs)} logs",
        metrics=metrics,
        members=with_outcomes(table, metrics, wanted),
        events=pl.DataFrame(),
        spec={
            "experiment": "found",
            "fields": constants,
            "logs": list(numbered),
            "varied": [c for c in table.columns if c not in ("member", "member_id")],
        },
        taken=("; ".join(said), *notes),
        arms=found_arms,
        unit=word,
    )


def _offset(log: Log, step: str, reading: Reading) -> int:
    if reading.offset is not None:
        return reading.offset
    return 1 if step == "trainer/global_step" else log.step_offset
