"""What a page says where robust accuracies are not to be trusted: attacks that slopes mislead."""

import polars as pl

from epochal.report.probed import files_with
from epochal.report.reading import RunLike
from epochal.report.several import parts_of
from epochal.store.documents import read_parquet
from epochal.store.paths import RunPaths

COLUMN = "gradient_masking"
SIGNS = {
    "search_excess": "random search breaks what gradients do not",
    "one_step_excess": "one step breaks what many do not",
}


def masked_gradients(run: RunLike) -> list[str]:
    """A sentence per column, recorded or measured afterwards, that found masking: how often, and why."""
    tables = [("", run.metrics)]
    for part, _ in parts_of(run):
        for name in files_with(part, [COLUMN]):
            tables.append((f" in {name}", read_parquet(RunPaths(part.path).probes / name)))
    return [
        _sentence(column, where, table)
        for where, table in tables
        for column in table.columns
        if column.partition("@")[0] == COLUMN and (table[column] == 1).any()
    ]


def _sentence(column: str, where: str, table: pl.DataFrame) -> str:
    _, at, label = column.partition("@")
    measured, masked = table.drop_nulls(column), table.filter(pl.col(column) == 1)
    signs = [why for name, why in SIGNS.items() if (masked[f"{name}{at}{label}"] > 0).any()]
    steps, members = sorted(set(masked["step"])), masked["member"].n_unique()
    return (
        f"robust_accuracy{at}{label}{where} is too high in {len(masked)} of {len(measured)} measurements "
        f"({members} member{'s' if members > 1 else ''}, steps {steps[0]} to {steps[-1]}): "
        f"{' and '.join(signs)}. Measure it with attack=worst_case and more steps."
    )
