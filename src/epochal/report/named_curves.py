"""Several measures in one panel: a colour each, members faint, their median strong."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from epochal.core.values.figure import Layer
from epochal.report.curve_tables import median_table
from epochal.report.reading import RunLike, member_table

KEYS = ("member", "step")


def scalars(run: RunLike, columns: Mapping[str, str]) -> pl.DataFrame:
    """``member step value colour`` of recorded columns, each under its words; empty where there is none."""
    frames = [
        run.metrics.select(
            *KEYS, pl.col(column).cast(pl.Float64).alias("value"), pl.lit(words).alias("colour")
        )
        for column, words in columns.items()
    ]
    return together(frames)


def places(run: RunLike, column: str, names: Mapping[int, str]) -> pl.DataFrame:
    """The same of single places of an array."""
    measured = run.metrics.filter(pl.col(column).is_not_null())
    frames = [
        measured.select(
            *KEYS,
            pl.col(column).list.get(place, null_on_oob=True).cast(pl.Float64).alias("value"),
            pl.lit(words).alias("colour"),
        )
        for place, words in names.items()
    ]
    return together(frames)


def together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    empty = pl.DataFrame(
        schema={"member": pl.Int64, "step": pl.Int64, "value": pl.Float64, "colour": pl.String}
    )
    cast = [f.with_columns(pl.col(*KEYS).cast(pl.Int64)).drop_nulls("value") for f in frames]
    return pl.concat([empty, *cast]).sort("colour", *KEYS)


def with_labels(run: RunLike, frame: pl.DataFrame) -> pl.DataFrame:
    """With what a member is called, and a key for each line."""
    labels = member_table(run).select(pl.col("member").cast(pl.Int64), "label")
    key = pl.format("{} {}", pl.col("member"), pl.col("colour")).alias("curve")
    return frame.join(labels, on="member", how="left").with_columns(key)


def layers_of(frame: pl.DataFrame, name: str) -> tuple[dict[str, pl.DataFrame], tuple[Layer, ...]]:
    """Tables and layers of a frame of ``with_labels``; medians where three members or more were measured."""
    middle = median_table(frame, ["colour"])
    line = Layer(
        mark="line", table=name, x="step", y="value", by="curve", colour="colour", hover={"label": "member"}
    )
    if not len(middle):
        is_alone = frame["member"].n_unique() == 1
        return {name: frame}, (replace(line, emphasis="strong" if is_alone else "plain"),)
    strong = Layer(
        mark="line",
        table=f"{name}_medians",
        x="step",
        y="median",
        by="colour",
        colour="colour",
        emphasis="strong",
    )
    return {name: frame, f"{name}_medians": middle}, (replace(line, emphasis="faint"), strong)
