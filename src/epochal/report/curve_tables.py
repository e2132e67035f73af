"""The tables behind learning curves: the curves, their medians, the events on them, where they end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Float

from epochal.core.values.figure import Axis, Cell, Scale, Table
from epochal.report.reading import Grouping, RunLike
from epochal.report.timeline import PRIMARY

MAX_LINES = 300
"""Above this an even choice of members is drawn; medians and bands still use all of them."""
MIN_FOR_MEDIAN = 3
LOG_DECADES = 12
"""A logarithmic axis never spans more decades below its upper end."""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """What all figures of a run share."""

    run: RunLike
    groups: Grouping
    members: pl.DataFrame
    x: Axis

    @property
    def ids(self) -> list[int]:
        return self.members["member"].to_list()

    @property
    def drawn(self) -> list[int]:
        n = len(self.ids)
        return self.ids if n <= MAX_LINES else [self.ids[i * n // MAX_LINES] for i in range(MAX_LINES)]

    @property
    def is_interpolated(self) -> bool:
        """Whether medians are over members that were recorded at different steps."""
        frame = self.run.metrics.select("member", "step").join(self.members, on="member", how="inner")
        return differ_in_steps(frame, ["facet", "colour"])

    @property
    def diverged(self) -> pl.DataFrame:
        return self.run.members.filter(pl.col("outcome") == "diverged")


def step_axis(run: RunLike, scale: Literal["log", "linear"] = "log") -> Axis:
    """Completed updates, from 0 to the last record; ``log`` has a place for 0."""
    last = run.metrics["step"].max() if len(run.metrics) else None
    end = float(last) if isinstance(last, int | float) and last > 0 else 1.0
    is_log = scale == "log"
    return Axis(
        label="step", unit="completed updates", scale="symlog" if is_log else "linear", domain=(0.0, end)
    )


def long(curves: Curves, column: str, split: str) -> pl.DataFrame:
    """All that was measured of one column: ``member step value label colour facet``, by member and step."""
    frame = curves.run.metrics.select("member", "step", pl.col(column).cast(pl.Float64).alias("value"))
    frame = frame.drop_nulls("value").join(curves.members, on="member", how="inner").sort("member", "step")
    return frame.with_columns(pl.lit(split).alias("colour")) if split else frame


def events_on(curves: Curves, column: str, frame: pl.DataFrame, y: Scale) -> pl.DataFrame:
    """Found events of this column, at the height of the drawn curve there."""
    events = curves.run.events
    if not len(events):
        return pl.DataFrame()
    events = events.filter((pl.col("probe") == column) & pl.col("step").is_not_null() & pl.col("found"))
    if events["name"].is_in(PRIMARY).any():
        events = events.filter(pl.col("name").is_in(PRIMARY))
    rows: list[dict[str, Cell]] = []
    for event in events.iter_rows(named=True):
        curve = frame.filter((pl.col("member") == event["member"]) & pl.col("value").is_finite())
        if not len(curve):
            continue
        steps, v = curve["step"].to_numpy(), curve["value"].to_numpy()
        x, at = (
            (np.log1p(steps), np.log1p(event["step"]))
            if curves.x.scale == "symlog"
            else (steps, event["step"])
        )
        height = (
            np.exp(np.interp(at, x, np.log(np.maximum(v, 1e-300)))) if y == "log" else np.interp(at, x, v)
        )
        low, high = (event[k] if event[k] is not None else event["step"] for k in ("low", "high"))
        rows.append(
            {
                "member": event["member"],
                "event": event["name"],
                "step": event["step"],
                "low": low,
                "high": high,
            }
            | {"value": float(height)}
            | curve.select("label", "colour", "facet").row(0, named=True)
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def ends(curves: Curves, frame: pl.DataFrame) -> pl.DataFrame:
    """The last finite point of each drawn member that diverged."""
    reasons = curves.diverged.select("member", pl.col("outcome_reason").fill_null("").alias("reason"))
    finite = frame.filter(pl.col("value").is_finite() & pl.col("member").is_in(curves.drawn))
    return finite.group_by("member", maintain_order=True).last().join(reasons, on="member", how="inner")


def median_table(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """``median``, ``lower`` and ``upper`` quartile and ``num_members`` of ``value`` per group and step.

    Only finite values count. A group of fewer than three members has no median, and a step at which fewer
    than half of a group's members were measured is left out: there the median would be one of survivors.
    Members with records at other steps than their group's count between their own on a straight line.
    """
    finite = frame.filter(pl.col("value").is_finite())
    if differ_in_steps(frame, keys):
        finite = on_common_steps(frame, keys)
    size = (
        finite.group_by(keys)
        .agg(pl.col("member").n_unique().alias("size"))
        .filter(pl.col("size") >= MIN_FOR_MEDIAN)
    )
    value = pl.col("value")
    return (
        finite.group_by([*keys, "step"])
        .agg(
            value.median().alias("median"),
            value.quantile(0.25, "linear").alias("lower"),
            value.quantile(0.75, "linear").alias("upper"),
            pl.len().cast(pl.Int64).alias("num_members"),
        )
        .join(size, on=keys, how="inner")
        .filter(2 * pl.col("num_members") >= pl.col("size"))
        .drop("size")
        .sort([*keys, "step"])
    )


def differ_in_steps(frame: pl.DataFrame, keys: Sequence[str]) -> bool:
    """Whether members of some group were recorded at different steps, apart from where they ended."""
    ends = frame.group_by("member").agg(
        pl.col("step").min().alias("first"), pl.col("step").max().alias("end")
    )
    steps = frame.select(*keys, "step").unique()
    own = frame.select(*keys, "member").unique().join(ends, on="member")
    expected = own.join(steps, on=list(keys)).filter(pl.col("step").is_between("first", "end"))
    return len(expected) > len(frame.select(*keys, "member", "step").unique())


def on_common_steps(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """``member step value`` and keys, at steps of each group that are even in the rank of all its records.

    At most twice as many as the member with most records has: a group of logs has as many grids as logs.
    """
    found = []
    for _, group in frame.group_by(keys, maintain_order=True):
        most = int(group.group_by("member").len()["len"].max())  # type: ignore[arg-type]
        union = np.unique(group["step"].to_numpy())
        chosen = union[
            np.unique(np.linspace(0, len(union) - 1, min(len(union), 2 * most)).round().astype(int))
        ]
        for _, own in group.group_by("member", maintain_order=True):
            step, value = own["step"].to_numpy(), own["value"].to_numpy()
            order = np.argsort(step, kind="stable")
            step, value = step[order], value[order]
            within = chosen[(chosen >= step[0]) & (chosen <= step[-1])]
            between = np.interp(within, step, value)  # NaN beside a record that is NaN
            about = own.select(*keys, "member").head(1)
            values = pl.DataFrame({"step": within, "value": between})
            found.append(about.join(values, how="cross"))
    return pl.concat(found).filter(pl.col("value").is_finite())


def log_domain(curves: Curves, columns: Sequence[str]) -> tuple[float, float] | None:
    """Range of the positive values of members that did not diverge, at most ``LOG_DECADES`` decades."""
    values = _readable(curves, columns)
    values = values[values > 0]
    if not values.size:
        return None
    low, high = float(values.min()), float(values.max())
    low = max(low, high * 10.0**-LOG_DECADES)
    margin = max(1.05, (high / low) ** 0.03)
    return low / margin, high * margin


def linear_domain(curves: Curves, column: str) -> tuple[float, float] | None:
    """Range of the members that did not diverge where some did; otherwise the axis finds its own."""
    values = _readable(curves, [column])
    return (float(values.min()), float(values.max())) if len(curves.diverged) and np.ptp(values) > 0 else None


def _readable(curves: Curves, columns: Sequence[str]) -> Float[np.ndarray, " N"]:
    """The finite values of members that did not diverge; of all where there is none."""
    metrics = curves.run.metrics
    healthy = metrics.filter(~pl.col("member").is_in(curves.diverged["member"].to_list()))
    for frame in (healthy, metrics):
        values = np.concatenate([frame[c].cast(pl.Float64).drop_nulls().to_numpy() for c in columns])
        finite: Float[np.ndarray, " N"] = values[np.isfinite(values)]
        if finite.size:
            return finite
    return np.zeros(1)


def as_table(frame: pl.DataFrame) -> Table:
    """A frame as plain columns; those of a grouping that the run has not are left out."""
    unused = [c for c in ("colour", "facet") if c in frame.columns and (frame[c] == "").all()]
    return {name: frame[name].to_list() for name in frame.columns if name not in unused}
