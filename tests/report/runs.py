"""Synthetic runs: populations whose curves, events and failures are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from epochal.store.directory import RunDirectory


@dataclass(frozen=True, kw_only=True)
class FakeRun:
    """The part of a stored run that reports read."""

    path: Path
    name: str
    metrics: pl.DataFrame
    members: pl.DataFrame
    events: pl.DataFrame
    spec: Mapping[str, Any]
    environment: Mapping[str, Any]
    schema: Mapping[str, Any] = field(default_factory=dict)
    is_done: bool = True


EVENT_SCHEMA: dict[str, Any] = {
    "member": pl.Int64,
    "name": pl.String,
    "probe": pl.String,
    "found": pl.Boolean,
    **dict.fromkeys(("step", "low", "high", "width", "onset", "end", "height"), pl.Float64),
    "censored": pl.String,
    "reason": pl.String,
    "p": pl.Float64,
}
METRIC_SCHEMA: dict[str, Any] = {
    "member": pl.Int64,
    "step": pl.Int64,
    "epoch": pl.Float64,
    **dict.fromkeys(
        ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "weight_norm", "gradient_norm"),
        pl.Float64,
    ),
}
SCHEMA = {
    "train_loss": {"dtype": "float32", "unit": "nats", "null": None},
    "val_loss": {"dtype": "float32", "unit": "nats", "null": None},
    "train_accuracy": {"dtype": "float32", "unit": "fraction correct", "null": 0.01},
    "val_accuracy": {"dtype": "float32", "unit": "fraction correct", "null": 0.01},
    "weight_norm": {"dtype": "float32", "unit": "1", "null": None},
    "gradient_norm": {"dtype": "float32", "unit": "1", "null": None},
}
ENVIRONMENT = {
    "versions": {"python": "3.11.9", "torch": "2.13.0", "epochal": "0.1.0"},
    "commit": "0123abcd",
    "threads": 2,
    "hardware": "2-core CPU",
    "device": "cpu",
    "started_utc": "2025-03-01T12:00:00Z",
    "wall_seconds": 31.4,
    "parameters": 226816,
    "splits": {"train": 3830, "val": 8939},
}


def grokking_run(
    path: Path,
    *,
    num_seeds: int = 5,
    weight_decays: Sequence[float] = (),
    operations: Sequence[str] = (),
    never: float = 0.0,
    diverging: float = 0.0,
    max_steps: int = 20_000,
    num_records: int = 300,
    is_done: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> FakeRun:
    """Members that memorise near step 150 and generalise 10 to 100 times later, or never, or diverge."""
    rng = np.random.default_rng(0)
    steps = np.unique(np.concatenate([[0], np.geomspace(1, max_steps, num_records).round()])).astype(int)
    rows: list[pl.DataFrame] = []
    members: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    grid = [
        (seed, decay, operation)
        for operation in (operations or (None,))
        for decay in (weight_decays or (None,))
        for seed in range(num_seeds)
    ]
    for m, (seed, decay, operation) in enumerate(grid):
        memorised = 150 * np.exp(rng.normal(0, 0.15))
        generalised = memorised * 30 * np.exp(rng.normal(0, 0.3)) / ((decay or 1.0) ** 0.6)
        has_generalised = rng.uniform() >= never and generalised < max_steps
        end = int(rng.uniform(200, max_steps / 2)) if rng.uniform() < diverging else max_steps
        train = 0.01 + 0.99 * rise(steps, memorised, 0.25)
        val = (
            0.01
            + 0.02 * rise(steps, memorised, 0.3)
            + (0.97 * rise(steps, generalised, 0.12) if has_generalised else 0)
        )
        val = np.clip(val + rng.normal(0, 0.004, len(steps)), 0, 1)
        train_loss = 4.6 * (1 - rise(steps, memorised, 0.2)) + 4e-7 * rng.lognormal(0, 0.3, len(steps))
        val_loss = (
            4.6
            * (1 + 3 * rise(steps, memorised, 0.4))
            * (1 - (0.999 * rise(steps, generalised, 0.12) if has_generalised else 0))
        )
        norm = 30 * (1 + 0.8 * rise(steps, memorised, 0.3)) * (1 - 0.4 * rise(steps, generalised, 0.6))
        columns = {
            "train_loss": train_loss,
            "train_accuracy": train,
            "val_loss": val_loss,
            "val_accuracy": val,
            "weight_norm": norm,
            "gradient_norm": train_loss * 0.7 + 1e-5 * rng.lognormal(0, 0.5, len(steps)),
        }
        dead = steps > end
        for column in columns.values():
            column[dead] = np.nan
        if dead.any():
            columns["train_loss"][np.flatnonzero(dead)[:1] - 1] = 1e12
            columns["train_loss"][np.flatnonzero(dead)[:1]] = np.inf
        frame = pl.DataFrame({"member": m, "step": steps, "epoch": steps.astype(float), **columns})
        rows.append(
            frame.with_columns(
                pl.when(pl.col("step") % 3 == 2)
                .then(None)
                .otherwise(pl.col("gradient_norm"))
                .alias("gradient_norm")
            )
        )
        varied = (
            {"seed": seed}
            | ({"weight_decay": decay} if decay else {})
            | ({"operation": operation} if operation else {})
        )
        last = int(steps[-1])
        outcome = (
            ("diverged", end, f"train_loss is inf at step {end}") if dead.any() else ("finished", last, "")
        )
        if not is_done:
            outcome = ("running", last, "")
        members.append(
            {"member": m, "member_id": f"{m:08x}", **varied}
            | dict(zip(("outcome", "outcome_step", "outcome_reason"), outcome, strict=True))
        )
        for name, probe, at, happens in (
            ("memorisation", "train_accuracy", memorised, True),
            ("generalisation", "val_accuracy", generalised, has_generalised),
        ):
            last = min(end, last)
            events.append(event(m, name, probe, float(at) if happens and at < last else None, float(last)))
        events.append(
            event(
                m,
                "val_accuracy_99",
                "val_accuracy",
                float(generalised * 1.4) if has_generalised and generalised * 1.4 < last else None,
                float(last),
            )
        )
    spec: dict[str, Any] = {
        "experiment": "algorithmic",
        "preset": "demo",
        "command": "epochal run algorithmic preset=demo seed=0:5",
        "fields": {
            "modulus": 113,
            "operation": "+",
            "width": 128,
            "train_fraction": 0.3,
            "seed": {"axis": list(range(num_seeds))},
        }
        | ({"weight_decay": {"axis": list(weight_decays)}} if weight_decays else {"weight_decay": 1.0})
        | dict(settings or {}),
        "varied": ["seed"] + (["weight_decay"] if weight_decays else []),
        "max_steps": max_steps,
        "format": 1,
        "semantics": 1,
        "run_id": "abcdef0123456789",
    }
    return FakeRun(
        path=path,
        name="algorithmic-demo-abcdef01",
        metrics=pl.concat(rows),
        members=pl.DataFrame(members),
        events=pl.DataFrame(events, schema=EVENT_SCHEMA),
        spec=spec,
        environment=ENVIRONMENT,
        schema=SCHEMA,
        is_done=is_done,
    )


def stored(fake: FakeRun, runs: Path, name: str) -> Path:
    """The run as a finished run directory, through the store."""
    schema = {"member": "int64", "step": "int64", "epoch": "float64", **fake.schema}
    made = RunDirectory.create(
        runs,
        name,
        spec={**fake.spec, "format": 1},
        environment=fake.environment,
        members=fake.members,
        schema=schema,
    )
    with made:
        with made.record_writer(0) as writer:
            writer.append(fake.metrics.sort("step", "member").iter_rows(named=True))
        made.write_events(fake.events.iter_rows(named=True))
        made.finish()
    return made.path


def rise(steps: Float[np.ndarray, " T"], at: float, width: float) -> Float[np.ndarray, " T"]:
    """From 0 to 1 around one step, logistic on log(1 + step)."""
    return np.asarray(1 / (1 + np.exp(-(np.log1p(steps) - np.log1p(at)) / width)))


def event(member: int, name: str, probe: str, at: float | None, last: float) -> dict[str, Any]:
    """An event at a step, give or take 4%, or one that had not happened by the last record."""
    if at is None:
        return {
            "member": member,
            "name": name,
            "probe": probe,
            "found": False,
            "step": None,
            "low": last,
            "high": None,
            "width": None,
            "onset": None,
            "end": None,
            "height": None,
            "censored": "right",
            "reason": "no rise by the last record",
            "p": 0.62,
        }
    return {
        "member": member,
        "name": name,
        "probe": probe,
        "found": True,
        "step": at,
        "low": at * 0.96,
        "high": at * 1.04,
        "width": at * 0.5,
        "onset": at * 0.8,
        "end": at * 1.3,
        "height": 0.97,
        "censored": "none",
        "reason": "",
        "p": 0.001,
    }


def short_run(path: Path, *, num_records: int = 3, values: bool = True) -> FakeRun:
    """One member with a few records, or with records that hold nothing."""
    steps = list(range(0, 10 * num_records, 10))
    full = {
        c: ([0.5 + 0.01 * i for i in range(num_records)] if values else [None] * num_records)
        for c in METRIC_SCHEMA
        if "_" in c
    }
    metrics = pl.DataFrame(
        {"member": [0] * num_records, "step": steps, "epoch": [float(s) for s in steps], **full},
        schema=METRIC_SCHEMA,
    )
    members = pl.DataFrame(
        [
            {
                "member": 0,
                "member_id": "00000000",
                "outcome": "finished",
                "outcome_step": steps[-1],
                "outcome_reason": "",
            }
        ]
    )
    events = pl.DataFrame(
        [event(0, "generalisation", "val_accuracy", None, steps[-1])] if values else [], schema=EVENT_SCHEMA
    )
    spec: dict[str, Any] = {
        "experiment": "algorithmic",
        "preset": None,
        "command": "epochal run algorithmic",
        "fields": {"modulus": 7},
        "varied": [],
        "max_steps": steps[-1],
        "format": 1,
        "semantics": 1,
        "run_id": "ff",
    }
    return FakeRun(
        path=path,
        name="algorithmic-ff",
        metrics=metrics,
        members=members,
        events=events,
        spec=spec,
        environment={},
        schema=SCHEMA,
    )
