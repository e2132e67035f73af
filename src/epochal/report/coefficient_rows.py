"""What a page says of the local learning coefficient: values, how they were sampled, what they are worth."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from epochal.analysis.chains.verdict import reasons_of_row
from epochal.report.probed import files_with
from epochal.report.reading import RunLike, member_table
from epochal.report.several import parts_of
from epochal.report.tables import number
from epochal.store.documents import read_json, read_parquet
from epochal.store.paths import RunPaths

PROBE = "llc"
COLUMNS = ("llc", "llc_standard_error", "llc_equilibrated")
NUMBERS = ("llc", "llc_standard_error", "llc_rhat", "llc_ess")


def only_table(run: RunLike) -> str | None:
    """The name of the one table to draw; empty for what was recorded, None where there is none."""
    if _is_recorded(run):
        return ""
    names = [name for part, _ in parts_of(run) for name in files_with(part, COLUMNS)]
    return names[0] if names else None


def coefficient_sections(run: RunLike) -> list[dict[str, Any]]:
    """For the records and each table of the probe: settings, a verdict, and rows by member and step."""
    found = []
    if _is_recorded(run):
        given = run.spec.get("fields", {}).get("probe_options") or {}
        mine = {n.removeprefix("llc."): v for n, v in given.items() if n.startswith("llc.")}
        found.append(_section(run, "recorded while training", mine, run.metrics, 0))
    for part, start in parts_of(run):
        for name in files_with(part, COLUMNS):
            path = RunPaths(part.path).probes / name
            about = read_json(path.with_suffix(".json"))
            where = f"measured on snapshots, {name}"
            found.append(_section(run, where, about.get("options", {}), read_parquet(path), start))
    return found


def calibration_lines(run: RunLike) -> list[str]:
    """What calibration chose, and why; empty where there was none."""
    lines = []
    for part, _ in parts_of(run):
        path = part.path / "calibration.json"
        if path.exists():
            said = read_json(path)
            at = f"Calibrated on member {said.get('member')} at step {said.get('step')}"
            lines.append(f"{at}: {_settings(said.get('settings', {}))}.")
            lines += [f"{reason}." for reason in said.get("reasons", [])]
            lines.append(f"There it found {said.get('estimate', {}).get('chains_say', 'nothing')}.")
    return lines


def _is_recorded(run: RunLike) -> bool:
    return set(COLUMNS) <= set(run.metrics.columns) and run.metrics["llc"].drop_nulls().len() > 0


def _section(
    run: RunLike, where: str, options: Mapping[str, Any], table: pl.DataFrame, start: int
) -> dict[str, Any]:
    labels = dict(member_table(run).select("member", "label").iter_rows())
    measured = table.filter(pl.col("llc").is_not_null()).sort("member", "step")
    rows = [
        {
            "label": labels.get(row["member"] + start, str(row["member"] + start)),
            "step": row["step"],
            "verdict": "equilibrated" if row["llc_equilibrated"] == 1 else "not equilibrated",
            "reasons": reasons_of_row(row),
            "numbers": _numbers(row),
        }
        for row in measured.iter_rows(named=True)
    ]
    settled = int((measured["llc_equilibrated"] == 1).sum())
    return {
        "where": where,
        "settings": _settings(options)
        or "those of the probe: step size and gamma follow each step's curvature",
        "is_comparable": all(options.get(name) is not None for name in ("step_size", "gamma")),
        "verdict": _verdict(settled, len(rows)),
        "rows": rows,
    }


def _numbers(row: Mapping[str, Any]) -> list[str]:
    """The value in brackets where it is no estimate."""
    value, *others = (number(row[c]) if row.get(c) is not None else "–" for c in NUMBERS)
    return [value if row["llc_equilibrated"] == 1 else f"({value})", *others]


def _verdict(settled: int, num: int) -> str:
    if settled == num:
        return f"equilibrated: chains had settled in all {num} measurements"
    if settled == 0:
        return f"not equilibrated: chains had settled in none of {num} measurements, which are no estimates"
    said = f"chains had settled in {settled} of {num} measurements"
    return f"partly equilibrated: {said}; the others are no estimates"


def _settings(options: Mapping[str, Any]) -> str:
    told = {name: value for name, value in options.items() if value not in (None, [], ())}
    return ", ".join(
        f"{name} = {value:.5g}" if isinstance(value, float) else f"{name} = {value}"
        for name, value in told.items()
    )
