"""What CausalGrok's detector says of each member, beside what we do."""

from typing import Any

import polars as pl

from epochal.core.values.result_table import ResultTable
from epochal.report.reading import RunLike, member_table
from epochal.report.shortcut_log import NO_EPOCH, has_shortcut_log, shortcut_logs
from epochal.report.tables import number

NOTE = (
    "CausalGrok: the first record that is .05 above the best so far after eight of ten within .01, and the "
    "record after the largest change of the penalty in training environments, up or down. The first misses "
    "a rise that takes several records, the second always finds one. Neither has an interval or a level; "
    "ours are those of the table of events. Epochs."
)
COLUMNS = ("member", "learning", "generalised", "its grokking", "its penalty drop", "its gap", "its drop (%)")


def beside_causalgrok(run: RunLike) -> ResultTable | None:
    """A row per member; None for runs without a shortcut, and for those under way."""
    if not has_shortcut_log(run) or (run.members["outcome"] == "running").any():
        return None
    labels = dict(member_table(run).select("member", "label").iter_rows())
    rows = []
    for log in shortcut_logs(run, {}):
        said = log.summary
        drop = said["irm_drop_pct"]
        rows.append(
            (
                labels[log.member],
                _outcome(run, log.member),
                _generalised(run, log.member),
                _epoch(said["grokking_epoch"]),
                _epoch(said["irm_drop_epoch"]),
                _epoch(said["epoch_gap"]),
                None if drop is None else round(drop, 1),
            )
        )
    return ResultTable(
        name="beside_causalgrok",
        title="Beside CausalGrok's detector",
        columns=COLUMNS,
        rows=tuple(rows),
        note=NOTE,
    )


def _outcome(run: RunLike, member: int) -> str:
    row = _event(run, member, "learning")
    return str(row["reason"]).partition(":")[0] if row else "not looked for"


def _generalised(run: RunLike, member: int) -> str:
    row = _event(run, member, "generalisation")
    if not row or not row["found"] or row["step"] is None:
        return "not seen"
    per_epoch = _steps_per_epoch(run)
    low, high = (row[end] if row[end] is not None else row["step"] for end in ("low", "high"))
    return f"{number(row['step'] / per_epoch)} [{number(low / per_epoch)}, {number(high / per_epoch)}]"


def _event(run: RunLike, member: int, name: str) -> dict[str, Any] | None:
    if not len(run.events):
        return None
    rows = run.events.filter((pl.col("member") == member) & (pl.col("name") == name)).to_dicts()
    return rows[0] if rows else None


def _steps_per_epoch(run: RunLike) -> float:
    last = run.metrics.filter(pl.col("epoch") > 0).sort("step")
    return float(last["step"][-1] / last["epoch"][-1]) if len(last) else 1.0


def _epoch(value: float) -> str:
    return "none" if value == NO_EPOCH else number(value)
