"""What a run's snapshots say about the health of its training: measures, a section of the loss, rules."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import polars as pl
import torch

from epochal.core.values.errors import UserError
from epochal.engine.observe import measure
from epochal.engine.population import initial_population
from epochal.experiments.restore import member_spec, program_of
from epochal.launch.diagnosis.rules import Finding, Signs, findings_of
from epochal.launch.measuring import measure_snapshots, measurement
from epochal.launch.numerics import steady
from epochal.probes import find
from epochal.store.run import Run

Bar = Callable[[str], Any]
"""A context manager that gives ``progress(done, of)``."""

USUAL: Mapping[str, tuple[str, dict[str, object]]] = {
    "loss": ("loss", {"splits": "train"}),
    "weight_norm": ("weight_norm", {}),
    "gradient_norm": ("gradient_norm", {}),
    "site_gradients": ("gradient_norm@sites", {"of": "sites"}),
    "activation_scale": ("activation_scale", {}),
    "dead_units": ("dead_units", {}),
    "softmax_collapse": ("softmax_collapse", {}),
}
DETAILED: Mapping[str, tuple[str, dict[str, object]]] = {
    "hessian": ("hessian", {}),
    "gradient_noise_scale": ("gradient_noise_scale", {}),
}
POINTS = 5
"""Of the section of the loss, from one snapshot to the next."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Measures by snapshot and by layer, a section along the way, what looks wrong, what is missing."""

    measures: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    section: list[dict[str, Any]]
    findings: list[Finding]
    skipped: list[str]


def diagnose(run: Run, *, members: Sequence[int] | None, detailed: bool, bar: Bar) -> Diagnosis:
    """Measures every snapshot of these members (tables are kept in the run, nothing is measured twice).

    Raises:
        UserError: no such member, or no snapshot.
    """
    if not run.snapshots:
        raise UserError(f"{run.name} has no snapshots to look at; run it with snapshot_every=100 or so")
    asked = list(range(len(run.members))) if members is None else list(members)
    for member in asked:
        member_spec(run, member)  # says which members there are, where there is no such one
    tables: dict[str, tuple[pl.DataFrame, dict[str, list[str]]]] = {}
    skipped: list[str] = []
    for kind, (name, options) in {**USUAL, **(DETAILED if detailed else {})}.items():
        wanted = measurement(run, name, options)
        try:
            with bar(kind) as progress:
                frame = measure_snapshots(run, wanted, members=asked, progress=progress)
        except UserError as error:
            skipped.append(f"{kind}: {error}")
            continue
        tables[kind] = (frame, wanted.table.labels)
    section = _section(run, asked, bar) if detailed else []
    measures, layers = _measures(tables), _layers(tables)
    findings = [found for member in asked for found in _findings(run, member, measures, layers, section)]
    return Diagnosis(measures=measures, layers=layers, section=section, findings=findings, skipped=skipped)


def _measures(tables: Mapping[str, tuple[pl.DataFrame, Any]]) -> list[dict[str, Any]]:
    """A row per member and step: numbers, and the extremes of arrays."""
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    for frame, _ in tables.values():
        for row in frame.to_dicts():
            place = rows.setdefault(
                (row["member"], row["step"]), {"member": row["member"], "step": row["step"]}
            )
            for column, value in row.items():
                if column in ("member", "step", "epoch") or column.endswith("frobenius@sites"):
                    continue
                if column == "top_eigenvalues":
                    place["top_eigenvalue"] = value[0]
                elif isinstance(value, list):
                    low, high = (min(value), max(value)) if value else (None, None)
                    ends = {"lowest": low, "highest": high}
                    if column in ("dead_units", "always_active_units"):
                        ends.pop("lowest")
                    name = column.replace("@", "_at_")
                    place.update({f"{name}_{end}": number for end, number in ends.items()})
                else:
                    place[column] = value
    columns = dict.fromkeys(name for row in rows.values() for name in row)
    return [dict.fromkeys(columns) | rows[key] for key in sorted(rows)]


def _layers(tables: Mapping[str, tuple[pl.DataFrame, dict[str, list[str]]]]) -> list[dict[str, Any]]:
    """A row per member, step and place of what is told layer by layer."""
    rows = []
    for frame, labels in tables.values():
        for column, names in labels.items():
            if column.startswith("gradient_norm_frobenius"):
                continue
            rows += [
                {
                    "member": row["member"],
                    "step": row["step"],
                    "measure": column.partition("@")[0],
                    "layer": name,
                    "value": value,
                }
                for row in frame.to_dicts()
                for name, value in zip(names, row[column], strict=True)
            ]
    return rows


def _findings(
    run: Run,
    member: int,
    measures: Sequence[dict[str, Any]],
    layers: Sequence[dict[str, Any]],
    section: Sequence[dict[str, Any]],
) -> list[Finding]:
    spec = member_spec(run, member)
    row = run.members.filter(pl.col("member") == member).to_dicts()[0]
    records = run.metrics.filter(pl.col("member") == member)
    curve = (
        records.select("step", "train_loss").drop_nulls()
        if "train_loss" in records.columns
        else records.select("step").with_columns(train_loss=pl.lit(0.0)).head(0)
    )
    return findings_of(
        Signs(
            member=member,
            outcome=str(row.get("outcome") or ""),
            outcome_reason=str(row.get("outcome_reason") or ""),
            batch_size=spec.model_dump().get("batch_size"),
            learning_rate=float(spec.model_dump().get("learning_rate") or 0.0),
            optimizer=str(spec.model_dump().get("optimizer") or ""),
            loss_steps=curve["step"].to_numpy(),
            losses=curve["train_loss"].to_numpy(),
            measures=[one for one in measures if one["member"] == member],
            layers=[one for one in layers if one["member"] == member],
            section=[one for one in section if one["member"] == member],
        )
    )


def _section(run: Run, members: Sequence[int], bar: Bar) -> list[dict[str, Any]]:
    """Training loss on the straight line from each snapshot to the next one of a member."""
    rows = []
    loss = find("loss")
    probe = loss.configured(loss.options.model_validate({"splits": "train"}))
    with bar("section of the loss") as progress, steady(run.spec["fields"].get("threads")):
        for done, member in enumerate(members):
            pack = next(k for k, group in enumerate(run.spec["packs"]) if member in group)
            program = program_of(run, (member,), executor=run.spec["executors"][pack])
            start = initial_population(program)
            for first, last in _pairs(run, member):
                ends = [run.snapshot(member, step) for step in (first, last)]
                flat, buffers = (
                    [torch.as_tensor(end[name]).to(program.device)[None] for end in ends]
                    for name in ("params", "buffers")
                )
                for point in range(POINTS):
                    share = point / (POINTS - 1)
                    there = replace(
                        start,
                        step=last,
                        flat=torch.lerp(flat[0], flat[1], share),
                        buffers=torch.lerp(buffers[0], buffers[1], share),
                    )
                    value = float(measure(program, there, [probe])["train_loss"][0])
                    rows.append(
                        {
                            "member": member,
                            "from_step": first,
                            "to_step": last,
                            "fraction": share,
                            "train_loss": value,
                        }
                    )
            progress(done + 1, len(members))
    return rows


def _pairs(run: Run, member: int) -> Iterator[tuple[int, int]]:
    last = run.last_snapshot(member)
    steps = [step for step in run.snapshots if step <= last]
    yield from pairwise(steps)
