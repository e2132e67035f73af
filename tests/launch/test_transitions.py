"""The events table: rows for each member, whatever it has and whatever became of it."""

import numpy as np
import polars as pl
import pytest

from epochal.launch.transitions import events_of
from epochal.listings import learning
from tests.analysis.curves.known import generator, logistic

STEPS = np.arange(60) * 50
TRIALS = [{"train": 1000, "val": 1000}] * 3


def metrics() -> pl.DataFrame:
    """A network that groks, one that memorises, and one that was measured on its training set alone."""
    noise = 0.003 * generator(1).standard_normal((6, 60))
    high = logistic(STEPS, 0.02, 0.99, 600, 150)
    late = logistic(STEPS, 0.02, 0.99, 2000, 200)
    curves = [(high, late), (high, np.full(60, 0.02)), (high, None)]
    frames = []
    for member, (train, val) in enumerate(curves):
        columns = {
            "member": [member] * 60,
            "step": STEPS,
            "train_accuracy": np.clip(train + noise[2 * member], 0, 1),
            "val_accuracy": [None] * 60 if val is None else np.clip(val + noise[2 * member + 1], 0, 1),
        }
        frames.append(pl.DataFrame(columns, schema_overrides={"val_accuracy": pl.Float64}))
    return pl.concat(frames)


def test_rows_of_three_members() -> None:
    rows = pl.DataFrame(events_of(metrics(), TRIALS, diverged={1}), infer_schema_length=None)
    by = {(r["member"], r["name"]): r for r in rows.to_dicts()}
    assert by[0, "memorisation"]["step"] == pytest.approx(600, abs=15)
    assert by[0, "generalisation"]["step"] == pytest.approx(2000, abs=15)
    assert by[0, "delay"]["low"] <= 1400 <= by[0, "delay"]["high"]
    assert by[0, "ratio"]["step"] == pytest.approx(2000 / 600, rel=0.03)
    assert by[0, "plateau"]["low"] <= 0.02 <= by[0, "plateau"]["high"]
    assert by[0, "plateau"]["height"] == pytest.approx(0.02, abs=0.005)
    assert learning(by[0, "learning"]) == "grokked"
    # Not come by the last record: a lower limit; and the outcome is the one that was given.
    assert (by[1, "delay"]["step"], by[1, "delay"]["high"]) == (None, None)
    assert by[1, "delay"]["low"] == pytest.approx(2950 - by[1, "memorisation"]["high"])
    assert learning(by[1, "learning"]) == "diverged"
    assert {name for member, name in by if member == 2} == {"memorisation", "memorisation_99"}
    assert by[2, "memorisation"]["found"]


def test_every_row_has_the_same_columns() -> None:
    rows = events_of(metrics(), TRIALS)
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert tuple(rows[0])[:4] == ("member", "name", "probe", "found")
