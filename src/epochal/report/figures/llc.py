"""The local learning coefficient over snapshots or records, its changes, with their errors, and accuracy."""

from dataclasses import replace
from typing import Literal

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Colour, FigureSpec, Layer, Panel
from epochal.report.coefficient_rows import COLUMNS, PROBE, only_table
from epochal.report.curve_tables import as_table, step_axis
from epochal.report.curves import SPLITS
from epochal.report.figure import Options, figure, option
from epochal.report.named_curves import layers_of, scalars, with_labels
from epochal.report.probed import has_columns, rows_with
from epochal.report.reading import RunLike

SETTLED, UNSETTLED = "settled", "not settled"
WIDTH = 1.96
CHANGES = ("llc_change", "llc_change_error")


class CoefficientOptions(Options):
    x: Literal["log", "linear"] = option("log", "scale of the steps; log has a place for 0")
    table: str = option("", "part of a table's file name, where the probe was measured with several options")


def on_page(run: RunLike) -> CoefficientOptions | None:
    table = only_table(run)
    if table is None or not rows_with(run, COLUMNS, PROBE, table)["llc"].is_finite().any():
        return None
    return CoefficientOptions(table=table)


@figure(
    "local learning coefficient against the step, with its error and whether the chains had settled",
    options=CoefficientOptions,
    on_page=on_page,
    place=47,
)
def llc(run: RunLike, options: CoefficientOptions) -> FigureSpec:
    found = rows_with(run, COLUMNS, PROBE, options.table)
    frame = found.select(
        *_interval("llc", "llc_standard_error"),
        pl.when(pl.col("llc_equilibrated") == 1)
        .then(pl.lit(SETTLED))
        .otherwise(pl.lit(UNSETTLED))
        .alias("colour"),
    ).filter(pl.col("value").is_finite())
    num_nan = len(found) - len(frame)
    if not len(frame):
        raise UserError(f"{run.name} has no finite llc: the loss at its parameters, or its chains, diverged")
    frame = with_labels(run, frame).with_columns(pl.col("member").cast(pl.String).alias("curve"))
    x = step_axis(run, options.x)
    about = {"label": "member"}
    band = Layer(mark="band", table="llc", x="step", y="low", y2="high", by="curve")
    line = Layer(mark="line", table="llc", x="step", y="value", by="curve", emphasis="faint", hover=about)
    dot = Layer(mark="point", table="settled", x="step", y="value", colour="colour", hover=about)
    ring = replace(dot, table="unsettled", shape="ring")
    tables, layers = {"llc": frame}, [band, line]
    for layer, kind in ((dot, SETTLED), (ring, UNSETTLED)):
        found_so = frame.filter(pl.col("colour") == kind)
        if len(found_so):
            tables[layer.table] = found_so
            layers.append(layer)
    y = Axis(label="local learning coefficient")
    panels = [Panel(x=x, y=y, layers=tuple(layers), title="local learning coefficient", height=250)]
    if has_columns(run, [*COLUMNS, *CHANGES]) and len(changes := _changes(run, options.table)):
        tables |= {"changes": changes, "zero": pl.DataFrame({"zero": [0.0]})}
        zero = Layer(mark="rule", table="zero", y="zero", emphasis="faint")
        layers = [zero, replace(band, table="changes"), replace(line, table="changes")]
        y = Axis(label="change since the snapshot before")
        panels.append(Panel(x=x, y=y, layers=tuple(layers), title="its changes", height=250))
    order = [kind for kind in (SETTLED, UNSETTLED) if (frame["colour"] == kind).any()]
    accuracy = {
        f"{split}_accuracy": f"{words} accuracy"
        for split, words in SPLITS.items()
        if f"{split}_accuracy" in run.metrics.columns
    }
    if accuracy:
        more, curves = layers_of(with_labels(run, scalars(run, accuracy)), "accuracy")
        tables |= more
        unit = Axis(label="accuracy", unit="fraction correct", domain=(0.0, 1.0))
        panels.append(Panel(x=x, y=unit, layers=curves, title="accuracy", height=250))
        order += list(accuracy.values())
    return FigureSpec(
        name="llc",
        title="Local learning coefficient over training",
        caption="Estimate and its 95% interval, one line per member; of a change the interval is its own, "
        "since both snapshots saw the same noise. Where chains had not settled the number is what they said "
        "so far, and no estimate." + (f" {num_nan} more had no finite value." if num_nan else ""),
        tables={name: as_table(table) for name, table in tables.items()},
        panels=tuple(panels),
        colour=Colour(title="", values=tuple(order)),
        per_row=len(panels),
    )


def _changes(run: RunLike, table: str) -> pl.DataFrame:
    """From snapshot to snapshot, where both have an estimate."""
    found = rows_with(run, [*COLUMNS, *CHANGES], PROBE, table)
    frame = found.select(*_interval(*CHANGES), pl.lit("").alias("colour"))
    frame = frame.filter(pl.col("value").is_finite() & pl.col("low").is_finite())
    return with_labels(run, frame).with_columns(pl.col("member").cast(pl.String).alias("curve"))


def _interval(value: str, error: str) -> list[pl.Expr]:
    """Member, step, a column's value, and what lies 95% around it."""
    reach = WIDTH * pl.col(error)
    return [
        pl.col("member").cast(pl.Int64),
        pl.col("step").cast(pl.Int64),
        pl.col(value).alias("value"),
        (pl.col(value) - reach).alias("low"),
        (pl.col(value) + reach).alias("high"),
    ]
