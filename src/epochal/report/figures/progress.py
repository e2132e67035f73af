"""Progress measures of modular arithmetic beside the losses: restricted, excluded, training, validation."""

from dataclasses import replace
from typing import Literal

import polars as pl

from epochal.core.values.errors import UserError
from epochal.core.values.figure import Axis, Colour, Emphasis, FigureSpec, Layer, Panel
from epochal.report.axes import domain_of
from epochal.report.curve_tables import as_table, median_table, step_axis
from epochal.report.curves import SPLITS
from epochal.report.figure import Options, figure, option
from epochal.report.probed import has_columns, rows_with
from epochal.report.reading import RunLike, member_table
from epochal.report.settings import settings_of

PROBE = "progress_measures"
MEASURES = ("restricted_loss", "excluded_loss")
LOSSES = ("train_loss", "val_loss")


class ProgressOptions(Options):
    x: Literal["log", "linear"] = option("log", "scale of the steps; log has a place for 0")
    y: Literal["log", "linear"] = option("log", "scale of the losses")
    losses: tuple[str, ...] = option(LOSSES, "recorded columns beside them, as a,b")
    settings: tuple[str, ...] = option(
        (), "fields with a panel per combination, as a,b; none = all that vary"
    )
    table: str = option("", "part of a table's file name, where the probe was measured with several options")


def on_page(run: RunLike) -> ProgressOptions | None:
    there = tuple(loss for loss in LOSSES if loss in run.metrics.columns)
    return ProgressOptions(losses=there) if has_columns(run, MEASURES) and there else None


@figure(
    "restricted and excluded loss with training and validation loss against the step (Nanda et al. 2023)",
    options=ProgressOptions,
    on_page=on_page,
    place=45,
)
def progress(run: RunLike, options: ProgressOptions) -> FigureSpec:
    measured = rows_with(run, MEASURES, PROBE, options.table)
    if missing := [loss for loss in options.losses if loss not in run.metrics.columns]:
        raise UserError(
            f"{run.name} has no column {missing[0]}; losses are recorded columns, such as val_loss"
        )
    frames = [measured.select("member", "step", pl.col(c).alias("value"), pl.lit(_words(c)).alias("colour"))
              for c in MEASURES]  # fmt: skip
    recorded = run.metrics.filter(pl.col("member").is_in(measured["member"].unique().to_list()))
    frames += [
        recorded.select(
            "member", "step", pl.col(c).cast(pl.Float64).alias("value"), pl.lit(_words(c)).alias("colour")
        ).drop_nulls("value")
        for c in options.losses
    ]
    settings = settings_of(run, besides=[], fields=options.settings)
    labels = dict(member_table(run).select("member", "label").iter_rows())
    order = [_words(c) for c in (*options.losses, *MEASURES)]
    about = pl.DataFrame(
        {"member": list(settings), "facet": list(settings.values()), "label": [labels[m] for m in settings]}
    )
    frame = pl.concat([f.cast({"member": pl.Int64, "step": pl.Int64, "value": pl.Float64}) for f in frames])
    frame = frame.join(about, on="member").with_columns(
        pl.format("{} {}", pl.col("member"), pl.col("colour")).alias("curve")
    )
    frame = frame.sort("colour", "member", "step")
    middle = median_table(frame, ["facet", "colour"])
    is_log = options.y == "log"
    low, high = domain_of([frame["value"].to_list()], "log" if is_log else "linear")
    low = max(low, high * 1e-10) / 1.2 if is_log else min(0.0, low)
    y = Axis(label="loss", unit="nat", scale="log" if is_log else "linear", domain=(low, high * 1.2))
    line = Layer(
        mark="line",
        table="curves",
        x="step",
        y="value",
        by="curve",
        colour="colour",
        hover={"label": "member"},
    )
    layers = [line]
    tables = {"curves": frame.select("member", "step", "value", "colour", "facet", "label", "curve")}
    if len(middle):
        tables["medians"] = middle
        layers.append(
            Layer(
                mark="line",
                table="medians",
                x="step",
                y="median",
                by="colour",
                colour="colour",
                emphasis="strong",
            )
        )
    names = [name for name in dict.fromkeys(settings.values()) if (frame["facet"] == name).any()]
    beside = dict(frame.group_by("facet").agg(pl.col("member").n_unique()).iter_rows())
    behind = set(middle["facet"])
    panels = tuple(
        Panel(
            x=step_axis(run, options.x),
            y=y,
            layers=tuple(
                replace(
                    layer,
                    where=("facet", name) if len(names) > 1 else None,
                    emphasis=_emphasis(beside[name], name in behind) if layer is line else layer.emphasis,
                )
                for layer in layers
            ),
            title=name if len(names) > 1 else "",
            height=280 if len(names) == 1 else 230,
        )
        for name in names
    )
    return FigureSpec(
        name="progress",
        title="Progress measures",
        caption="Restricted loss: of the logits' key frequencies alone, over all pairs; excluded loss: "
        "training pairs without them. One line per member."
        + (" Thick: medians." if len(middle) else "")
        + (" Values outside the axis lie on its edge." if is_log else ""),
        tables={name: as_table(table) for name, table in tables.items()},
        panels=panels,
        colour=Colour(title="", values=tuple(dict.fromkeys(order))),
        per_row=1 if len(panels) == 1 else 2 if len(panels) in (2, 4) else 3,
    )


def _emphasis(num_members: int, has_median: bool) -> Emphasis:
    """Of the members' lines of a panel: faint behind a median, strong where one member is all there is."""
    return "faint" if has_median else "strong" if num_members == 1 else "plain"


def _words(column: str) -> str:
    split, _, rest = column.partition("_")
    return (
        SPLITS[split] if split in SPLITS and rest == "loss" else column.replace("_loss", "").replace("_", " ")
    )
