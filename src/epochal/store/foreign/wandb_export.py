"""The CSV of a chart of W&B: a column per run, with its smallest and largest value beside it."""

from dataclasses import replace

import polars as pl

from epochal.store.foreign.log import Log

BESIDE = ("__MIN", "__MAX")


def is_chart(log: Log) -> bool:
    """Whether columns are called ``RUN - METRIC`` and have twins for the range."""
    columns = set(log.frame.columns)
    return any(" - " in name and f"{name}{BESIDE[0]}" in columns for name in columns)


def unfolded(log: Log) -> Log:
    """The same in rows: ``step``, ``run`` and a column per metric. The range within a bin is left out."""
    [step, *_] = log.frame.columns
    parts: dict[str, dict[str, str]] = {}
    for name in log.frame.columns[1:]:
        run, dash, metric = name.rpartition(" - ")
        if dash and not name.endswith(BESIDE) and metric != step:
            parts.setdefault(run, {})[metric] = name
    frames = [
        log.frame.select(
            pl.col(step),
            pl.lit(run).alias("run"),
            *(pl.col(name).cast(pl.Float64, strict=False).alias(metric) for metric, name in metrics.items()),
        ).filter(pl.any_horizontal(pl.col(metric).is_not_null() for metric in metrics))
        for run, metrics in parts.items()
    ]
    return replace(
        log,
        program="W&B chart",
        frame=pl.concat(frames, how="diagonal_relaxed"),
        step_column=step,
        run_column="run",
    )
