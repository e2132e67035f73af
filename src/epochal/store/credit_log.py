"""A run's norms and alignment as the JSON of a snapshot-evolution script, with that script's field names.

One file compares two rules on one seed: ``bp_log`` and ``dfa_log`` are lists with an entry per record, in
order. ``dfa_log`` is any one rule that is not backpropagation. What is not there or not finite is null,
as JSON knows no NaN.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from epochal.core.values.errors import UserError
from epochal.store.atomic import write_file
from epochal.store.run import Run

FIELDS = {
    "hidden_norms": "hidden_norm",
    "bp_grad_norms_per_sample_med": "gradient_norm",
    "bp_grad_norms_F": "gradient_norm_frobenius",
    "acc_eval": "sample_accuracy",
    "loss_eval": "sample_loss",
}
"""The script's names of our columns; ``epoch`` and ``gamma_dfa`` are made from others."""


def write_credit_log(run: Run, path: Path, *, member: int = 0) -> Path:
    """Writes the file of the members with the seed of ``member``; an old one is replaced.

    ``gamma_dfa`` is the mean over blocks of the credit's cosine with the gradient at their input, as there.

    Raises:
        UserError: norms per site were not recorded, no such member, or several for one log.
    """
    if missing := [column for column in FIELDS.values() if column not in run.metrics.columns]:
        raise UserError(f"{run.name} has no {missing[0]}: record it with preset=credit")
    if not isinstance(run.metrics.schema["gradient_norm"], pl.List):
        raise UserError(
            f"{run.name} has the gradient's norm in all parameters; this needs "
            "probe_options.gradient_norm.of=sites, as preset=credit has it"
        )
    fields = {number: _fields(run, number) for number in run.members["member"]}
    if member not in fields:
        raise UserError(f"{run.name} has no member {member}; its members are 0 to {len(fields) - 1}")
    seed = fields[member]["seed"]
    chosen = {number: own for number, own in fields.items() if own["seed"] == seed}
    back = [number for number, own in chosen.items() if own["rule"] == "backprop"]
    other = [number for number in chosen if number not in back]
    # The member that was asked for is the one of its rule's log.
    back, other = ([member] if member in log else log for log in (back, other))
    for found in (back, other):
        if len(found) > 1:
            rules = ", ".join(str(chosen[number]["rule"]) for number in found)
            raise UserError(
                f"seed {seed} of {run.name} has {len(found)} members for one log ({rules}); choose one with "
                f"--member, such as {found[0]}"
            )
    written = {
        "config": chosen[next(iter(chosen))] | {"rule": [chosen[m]["rule"] for m in (*back, *other)]},
        "depth": chosen[next(iter(chosen))]["depth"],
        "d_hidden": chosen[next(iter(chosen))]["width"],
        "num_classes": _num_classes(run),
        "bp_log": _log(run, back),
        "dfa_log": _log(run, other),
    }
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent} for {path.name}; make it first")
    write_file(path, (json.dumps(written, indent=1, allow_nan=False) + "\n").encode())
    return path


def _fields(run: Run, member: int) -> dict[str, Any]:
    """Every field of a member, with the value that it has where members differ."""
    row = run.members.row(by_predicate=pl.col("member") == member, named=True)
    return {
        name: row[name] if isinstance(value, Mapping) and set(value) == {"axis"} else value
        for name, value in run.spec["fields"].items()
    }


def _log(run: Run, members: list[int]) -> list[dict[str, Any]]:
    records = run.metrics.filter(pl.col("member").is_in(members)).sort("step")
    return [
        {"epoch": int(row["epoch"]) if float(row["epoch"]).is_integer() else row["epoch"]}
        | {name: _plain(row[column]) for name, column in FIELDS.items()}
        | {"gamma_dfa": _mean(row.get("credit_alignment_input"))}
        for row in records.iter_rows(named=True)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _mean(values: list[float | None] | None) -> float | None:
    """None where one of them is not defined."""
    if not values or any(value is None or not math.isfinite(value) for value in values):
        return None
    return math.fsum(value for value in values if value is not None) / len(values)


def _num_classes(run: Run) -> int | None:
    found = run.environment.get("num_classes")
    return int(found) if found is not None else None
